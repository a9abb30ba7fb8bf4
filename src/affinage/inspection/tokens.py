"""Rows as tokens: their statistics, and a few of them laid open with the learned tokens marked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from affinage.data.records import Chat, Labelled, Record, Source
from affinage.data.wording import contents
from affinage.errors import InputError
from affinage.inspection.findings import example
from affinage.inspection.material import Material
from affinage.inspection.overview import histogram

if TYPE_CHECKING:
    from affinage.data.batches import Row
    from affinage.data.rendering.renderer import Renderer

_MARKS = re.compile(r"[▁ĠĊĉč\s!-@\[-`{-~]+")  # pieces without a letter; the first signs stand for white space
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
# What must not reach a terminal as it is: control codes, and marks that reorder or hide text.
_UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class TokenStatistics:
    """Lengths of records in tokens (a text's blocks taken together), and what is learned from.

    `above_context` counts records longer than the context: texts are split there, other rows refused, cut or left out
    as the recipe says. Shares are of all tokens; `tokens_per_byte` is over the contents alone;
    `histogram` is of the lengths of records.
    """

    context: int
    rows: int
    total: int
    learned: int
    min: int
    median: float
    p95: float
    max: int
    above_context: int
    above_context_share: float
    truncated: int
    tokens_per_byte: float | None
    unknown_share: float
    byte_fallback_share: float
    end_of_turn_learned_share: float | None
    learned_share: float
    histogram: list[dict[str, int]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def statistics(material: Material) -> TokenStatistics | None:
    """Statistics over all rendered rows and those too long to be rendered; None where nothing was rendered."""
    renderer, rendered = material.renderer, list(material.rendered)
    lengths = [_length(rows) for _, rows in rendered] + [tokens for _, tokens in material.too_long]
    if renderer is None or not lengths:
        return None
    rows = [row for _, some in rendered for row in some]
    ids = np.concatenate([row.tokens_T for row in rows]) if rows else np.zeros(0, np.int32)
    dropped = 0 if material.too_long else sum(drop.reason == "too-long" for drop in material.drops)
    above = sum(length > renderer.context for length in lengths) + dropped
    dense = [density(record, some) for record, some in rendered]
    size = sum(bytes_ for _, bytes_ in dense)
    ends = [learns_end(some[-1], renderer.stop_ids) for record, some in rendered if isinstance(record, Chat)]
    return TokenStatistics(
        context=renderer.context,
        rows=len(lengths),
        total=sum(len(row) for row in rows) + sum(tokens for _, tokens in material.too_long),
        learned=sum(row.learned for row in rows),
        min=min(lengths),
        median=float(np.median(lengths)),
        p95=float(np.percentile(lengths, 95)),
        max=max(lengths),
        above_context=above,
        above_context_share=above / (len(lengths) + dropped),
        truncated=sum(row.truncated for row in rows),
        tokens_per_byte=sum(tokens for tokens, _ in dense) / size if size else None,
        unknown_share=_share(ids, unknown_ids(renderer.tokenizer)),
        byte_fallback_share=_share(ids, _byte_ids(renderer.tokenizer)),
        end_of_turn_learned_share=sum(ends) / len(ends) if ends else None,
        learned_share=sum(row.learned for row in rows) / max(1, sum(map(len, rows))),
        histogram=histogram(lengths),
    )


def density(record: Record, rows: Sequence[Row]) -> tuple[int, int]:
    """Tokens of a record's contents and their UTF-8 bytes: of chats the learned turns', else the whole text's."""
    if any(row.truncated for row in rows):
        return 0, 0
    if isinstance(record, Chat):
        row = rows[0]
        return max(0, row.learned - 1), row.learned_bytes
    return _length(rows), sum(len(text.encode("utf-8", "replace")) for text in contents(record))


def words_density(record: Record, rows: Sequence[Row], marks: np.ndarray[Any, Any]) -> tuple[int, int]:
    """As `density`, of words alone: digits and signs take a token each in every language. `marks` as of `mark_bytes`."""
    tokens, size = density(record, rows)
    counted = [row.tokens_T[row.weights_T > 0] if isinstance(record, Chat) else row.tokens_T for row in rows]
    found = marks[np.concatenate(counted)] if size else np.zeros(0, int)
    return max(0, tokens - int(np.count_nonzero(found))), max(0, size - int(found.sum()))


def mark_bytes(tokenizer: Any) -> np.ndarray[Any, Any]:
    """Bytes of each token that holds digits, signs and white space alone; 0 of all others (V)."""
    vocabulary = tokenizer.get_vocab()
    sizes = np.zeros(max(vocabulary.values(), default=0) + 1, int)
    for piece, number in vocabulary.items():
        spelt = _BYTE.fullmatch(piece)
        if spelt:
            sizes[number] = _MARKS.fullmatch(chr(int(spelt[1], 16))) is not None
        elif _MARKS.fullmatch(piece):
            sizes[number] = len(piece)
    return sizes


def learns_end(row: Row, stop_ids: Sequence[int]) -> bool:
    """Whether the last token that is learned from ends a turn."""
    learned = row.tokens_T[row.weights_T > 0]
    return bool(len(learned)) and int(learned[-1]) in stop_ids


def unknown_ids(tokenizer: Any) -> list[int]:
    """The id of the unknown token, where it is no other token's job too (GPT-2's also ends texts)."""
    jobs = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    unknown = tokenizer.unk_token_id
    return [] if unknown is None or unknown in jobs else [int(unknown)]


def shown_rows(material: Material, count: int) -> list[dict[str, Any]]:
    """`count` records spread evenly over the data, each with its first row's tokens.

    Each is `{"file", "line", "locator", "kind", "label", "rows", "length", "learned", "tokens": [{"text", "learned"},
    ...]}`.
    """
    rendered = list(material.rendered)
    if material.renderer is None or not rendered or count < 1:
        return []
    count = min(count, len(rendered))
    chosen = [rendered[round(number * (len(rendered) - 1) / max(1, count - 1))] for number in range(count)]
    return [_laid_open(material.renderer, record, rows) for record, rows in chosen]


def picked_rows(material: Material, places: Sequence[str]) -> list[dict[str, Any]]:
    """The rows at `places`, as `shown_rows` gives them: `7` is the seventh row that is left, `FILE:LINE` a place.

    Raises:
        InputError: there is no such row, or it was left out (then why).
    """
    return [_picked(material, place) for place in places]


def _picked(material: Material, place: str) -> dict[str, Any]:
    record = _record_at(material, place)
    renderer = material.renderer
    if renderer is None:
        raise InputError("no row can be shown as tokens without a model", fix="name one with --model")
    rows = material.rows_of.get(record.id) or []
    if not rows and isinstance(record, Chat):
        rows = [renderer.chat(record)]
    elif not rows and isinstance(record, Labelled):
        rows = [renderer.labelled(record, 0.0)]
    if not rows:
        raise InputError(f"{record.source}: the row gives no tokens", fix="the findings tell why")
    return _laid_open(renderer, record, rows)


def _record_at(material: Material, place: str) -> Record:
    count = len(material.records)
    if place.isdecimal():
        if 1 <= int(place) <= count:
            return material.records[int(place) - 1]
        raise InputError(
            f"--row {place}: there are rows 1 to {count:,}", fix="or name a place, such as --row FILE:LINE"
        )
    for record in material.records:
        if _stands_at(record.source, place):
            return record
    for drop in material.drops:
        if _stands_at(drop.source, place):
            raise InputError(
                f"{drop.source}: the row was left out: {drop.reason}",
                fix=drop.detail or f"affinage inspect --explain {drop.reason}",
            )
    raise InputError(f"--row {place}: no row stands there", fix="--row N for the N-th row, or --row FILE:LINE")


def _stands_at(source: Source, place: str) -> bool:
    said = str(source)
    return said == place or said.endswith(f"/{place}") or said.partition("#")[0] == place


def _laid_open(renderer: Renderer, record: Record, rows: Sequence[Row]) -> dict[str, Any]:
    tokens = [{"text": text, "learned": learned} for text, learned in renderer.explain(rows[0])]
    label = record.label if isinstance(record, Labelled) else None
    sizes = {"rows": len(rows), "length": len(rows[0]), "learned": rows[0].learned}
    return example(record.source, kind=record.kind, label=label, **sizes, tokens=tokens)


def safe(text: str) -> str:
    """`text` with everything spelt out that could steer or deceive a terminal; newlines stay."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _length(rows: Sequence[Row]) -> int:
    """Tokens of a record, truncated ones counted; each block of a text begins with the last token of the one before."""
    return sum(len(row) + row.truncated for row in rows) - (len(rows) - 1)


def _byte_ids(tokenizer: Any) -> list[int]:
    """Tokens that stand for one byte of a character outside ASCII that the vocabulary lacks."""
    found = ((_BYTE.fullmatch(piece), number) for piece, number in tokenizer.get_vocab().items())
    return [number for match, number in found if match and int(match[1], 16) >= 0x80]


def _share(ids: np.ndarray[Any, Any], wanted: Sequence[int]) -> float:
    return float(np.isin(ids, wanted).mean()) if len(ids) and wanted else 0.0
