"""Raw text as blocks of token ids that fit the context, each token predicted exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from affinage.data.batches import Row
from affinage.data.records import Text
from affinage.data.rendering.encoding import Encoder

_SHORT = 4  # characters a token, beyond which a text is taken not to fit into one block


def text_blocks(record: Text, encoder: Encoder, *, bos: int | None, eos: int | None, context: int) -> list[Row]:
    """Blocks of about equal size, at most `context` tokens each, of BOS (if there is one) + text + EOS.

    The last token of a block is the first of the next, where it weighs 0: each token but the very first is predicted
    exactly once. `learned_bytes` add up to the text's UTF-8 length (less the first token's, where the tokenizer has no
    BOS to predict it from). Empty text gives no row.
    """
    if not record.text:
        return []
    if bos is not None and len(record.text) <= _SHORT * context:
        whole = np.array([bos, *encoder.encode([record.text])[0], *([] if eos is None else [eos])], np.int32)
        if 1 < len(whole) <= context:  # one block, whose borders need not be looked for
            weights = np.ones(len(whole), np.float32)
            weights[0] = 0.0
            return [Row(whole, weights, record.id, len(record.text.encode()))]
    ids, offsets = encoder.trace(record.text)
    tokens = [*([] if bos is None else [bos]), *ids, *([] if eos is None else [eos])]
    first = 0 if bos is None else 1  # where the text's own tokens start
    predicted = len(tokens) - 1
    count = -(-predicted // (context - 1))
    edges = [round(number * predicted / count) for number in range(count + 1)] if count else []
    ends = _reaches(offsets, [edge + 1 - first for edge in edges], len(record.text))
    rows, record_id = [], record.id
    for (left, right), (begin, end) in zip(pairwise(edges), pairwise(ends), strict=True):
        weights = np.ones(right - left + 1, np.float32)
        weights[0] = 0.0
        size = len(record.text[begin:end].encode())
        rows.append(Row(np.array(tokens[left : right + 1], np.int32), weights, record_id, size))
    return rows


def _reaches(offsets: Sequence[tuple[int, int]], counts: Sequence[int], length: int) -> list[int]:
    """For each of `counts`, the characters of a text of `length` that its first so many tokens account for.

    A character that is spread over several tokens goes whole to the first of them, what the tokenizer skips to the
    token after it, or at the end of the text to the last one: so each is counted exactly once.
    """
    reached = np.maximum.accumulate(np.array([0, *(end for _, end in offsets)]))
    reached[-1] = length
    return [int(reached[min(count, len(offsets))]) for count in counts]
