"""Rows as text that a person can read, token by token."""

from __future__ import annotations

from collections.abc import Callable

from affinage.data.batches import Row


def explained(row: Row, decode: Callable[[list[int]], str]) -> list[tuple[str, bool]]:
    """For each token its text and whether it is learned from.

    Of a character that is spread over several tokens, all but the last have an empty text.
    """
    ids = row.tokens_T.tolist()
    shown: list[tuple[str, bool]] = []
    start = done = 0  # decoding starts at `start`, a little back, as some decoders treat a beginning apart
    for number, weight in enumerate(row.weights_T.tolist()):
        known, text = decode(ids[start:done]), decode(ids[start : number + 1])
        whole = not text.endswith("\ufffd") or number == len(ids) - 1
        shown.append((text[len(known) :] if whole else "", weight > 0))
        if whole:
            start, done = done, number + 1
    return shown
