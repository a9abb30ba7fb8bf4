"""Labelled texts as rows: the text between the tokenizer's usual special tokens, nothing learned from but its target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from affinage.data.batches import Row
from affinage.data.records import Label, Labelled
from affinage.data.rendering.encoding import Encoder
from affinage.data.rendering.fitting import Fitting
from affinage.data.targets import Target
from affinage.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Frame:
    """What stands around a labelled text: [CLS] .. [SEP] for encoders, BOS and no EOS for decoders.

    Attributes:
        before: ids before the text.
        after: ids after it.
        bos: the tokenizer's BOS token with its id, where the tokenizer puts it before all that it encodes, else None.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, encoder: Encoder) -> None:
        around, inner = encoder.encode(["a"], special=True)[0], encoder.encode(["a"])[0]
        size = len(inner)
        at = next(i for i in range(len(around)) if around[i : i + size] == inner)
        self.before, self.after = around[:at], around[at + size :]
        bos = tokenizer.bos_token_id
        adds_bos = bos is not None and self.before[:1] == [bos]
        self.bos = (str(tokenizer.bos_token), int(bos)) if adds_bos else None
        if tokenizer.cls_token_id is None and bos is not None:
            self.before, self.after = [bos], []

    def row(self, record: Labelled, body: list[int], target: Target, *, truncated: int = 0) -> Row:
        """The text with the ids `body`, framed."""
        tokens = np.array([*self.before, *body, *self.after], np.int32)
        return Row(tokens, np.zeros(len(tokens), np.float32), record.id, target=target, truncated=truncated)

    def fitted(
        self, record: Labelled, body: list[int], targets: Mapping[Label, Target], fitting: Fitting
    ) -> tuple[Row, ...]:
        """As `row`, cut to the context if that is wanted; nothing where the record is dropped.

        Raises:
            InputError: the record's label has no target.
        """
        if record.label not in targets:
            raise InputError(f"{record.source}: the label {record.label!r} is not one of those to tell apart")
        length = len(self.before) + len(body) + len(self.after)
        if not body:
            fitting.drop(record, "empty-text")
            return ()
        if not fitting.admits(record, length):
            return ()
        over = max(0, length - fitting.context)
        return (self.row(record, body[: max(0, len(body) - over)], targets[record.label], truncated=over),)
