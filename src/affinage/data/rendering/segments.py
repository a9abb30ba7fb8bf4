"""Laid-out chats to token ids with weights: where tokens may not span a border, and which are learned from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affinage.data.rendering.encoding import Encoder
from affinage.data.rendering.shapes import Piece


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) of a run; `content`: part of a message's content."""

    start: int
    end: int
    learned: bool
    content: bool


@dataclass(frozen=True, slots=True)
class Run:
    """Text that is encoded in one go, or one control token. `bare`: it continues what stands before it."""

    text: str
    spans: tuple[Span, ...]
    bare: bool = False
    control: int | None = None


Parts = tuple[list[Run], list[int]]
"""The runs of a chat, and how many tokens each has."""


@dataclass(slots=True)
class Draft:
    """Tokens of one chat with their weights. `size`: UTF-8 bytes of its learned contents; `parts`: what it is made of."""

    ids: NDArray[np.int32]
    weights: NDArray[np.float32]
    size: int
    parts: Callable[[], Parts]

    def learned_bytes(self, encoder: Encoder, limit: int) -> int:
        """UTF-8 bytes of the learned contents within the first `limit` tokens."""
        if limit >= len(self.ids):
            return self.size
        total, position = 0, 0
        for run, count in zip(*self.parts(), strict=True):
            kept = min(count, limit - position)
            if kept <= 0:
                break
            position += count
            upto = len(run.text)
            if kept < count:
                _, offsets = encoder.trace(run.text, bare=run.bare)
                upto = max(end for _, end in offsets[:kept])
            total += _learned_size(run, upto)
        return total


def _learned_size(run: Run, upto: int) -> int:
    kept = (run.text[span.start : min(span.end, upto)] for span in run.spans if span.learned and span.content)
    return sum(len(text.encode()) for text in kept)


def cut(pieces: Sequence[Piece], learned: Collection[int], encoder: Encoder) -> list[Run]:
    """The runs of a chat. `learned` are the numbers of the messages that are learned from.

    Borders stand at control tokens, as in the tokenizer's own encoding of the whole, and wherever generation starts
    or stops, so that a prompt has the same ids alone and with its answer. They do not depend on `learned`.
    """
    runs: list[Run] = []
    waiting: list[Piece] = []
    for piece in pieces:
        if waiting and (piece.cut or piece.control):
            _flush(runs, waiting, learned, encoder, before=piece.text if piece.control else "")
        if piece.control:
            span = Span(0, len(piece.text), piece.turn in learned, piece.content)
            runs.append(Run(piece.text, (span,), control=encoder.control[piece.text]))
        else:
            waiting.append(piece)
    _flush(runs, waiting, learned, encoder, before="")
    return runs


def _flush(runs: list[Run], waiting: list[Piece], learned: Collection[int], encoder: Encoder, *, before: str) -> None:
    """Move `waiting` to the end of `runs`; `before` is the control token that follows, if one does."""
    text = "".join(piece.text for piece in waiting)
    last = runs[-1] if runs else None
    low, high = 0, len(text)
    if last is not None and last.control is not None and last.text in encoder.strips_after:
        low = high - len(text.lstrip())
    if before in encoder.strips_before:
        high = max(low, len(text.rstrip()))
    spans, position = [], 0
    for piece in waiting:
        start, position = position, position + len(piece.text)
        kept = (start, position) if high - low == len(text) else (_clip(start, low, high), _clip(position, low, high))
        spans.append(Span(*kept, piece.turn in learned, piece.content))
    waiting.clear()
    if high > low:
        bare = last is not None and (last.control is None or encoder.bare_after_control)
        runs.append(Run(text[low:high], tuple(spans), bare=bare))


def _clip(edge: int, low: int, high: int) -> int:
    return min(max(edge, low), high) - low


def encode(chats: Sequence[list[Run]], encoder: Encoder) -> list[Draft]:
    """Tokens and weights of each chat; equal texts are encoded once, all in one call."""
    known: dict[tuple[str, bool], list[int]] = {}
    for bare in (False, True):
        texts = list({run.text: None for runs in chats for run in runs if run.control is None and run.bare is bare})
        known.update(zip(((text, bare) for text in texts), encoder.encode(texts, bare=bare), strict=True))
    return [_draft(runs, known, encoder) for runs in chats]


def _draft(runs: list[Run], known: dict[tuple[str, bool], list[int]], encoder: Encoder) -> Draft:
    ids: list[int] = []
    weights: list[float] = []
    counts: list[int] = []
    for run in runs:
        own = known[run.text, run.bare] if run.control is None else [run.control]
        flags = {span.learned for span in run.spans if span.end > span.start}
        ids += own
        # mixed: a learned turn whose header is not set apart by a control token
        weights += _traced(run, encoder) if len(flags) > 1 else [float(True in flags)] * len(own)
        counts.append(len(own))
    if weights:
        weights[0] = 0.0
    size = sum(_learned_size(run, len(run.text)) for run in runs)
    return Draft(np.array(ids, np.int32), np.array(weights, np.float32), size, lambda: (runs, counts))


def _traced(run: Run, encoder: Encoder) -> list[float]:
    """Weight 1 for each token that holds a learned character."""
    _, offsets = encoder.trace(run.text, bare=run.bare)
    learned = [span for span in run.spans if span.learned]
    return [float(any(span.start < end and start < span.end for span in learned)) for start, end in offsets]
