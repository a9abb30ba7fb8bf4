"""Cutting a few long texts into sections, so that some can be held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from affinage.data.records import Source, Text

FEW = 20  # texts; with more, whole texts are held out
SECTION = 6000  # characters


def into_sections(texts: Sequence[Text], *, few: int = FEW, size: int = SECTION) -> list[Text]:
    """The texts as they are, or cut at paragraph borders when they are fewer than `few`. Nothing is lost."""
    if len(texts) >= few:
        return list(texts)
    return [section for text in texts for section in _cut(text, size)]


def _cut(text: Text, size: int) -> list[Text]:
    pieces: list[str] = []
    rest = text.text
    while len(rest) > 1.5 * size:
        border = rest.rfind("\n\n", size // 2, size)
        if border < 0:
            border = rest.rfind("\n", size // 2, size)
        if border < 0:
            border = rest.rfind(" ", size // 2, size)
        end = size if border < 0 else border + 1
        pieces.append(rest[:end])
        rest = rest[end:]
    pieces.append(rest)
    if len(pieces) == 1:
        return [text]
    return [
        replace(text, text=piece, parents=(text.id,), source=Source(text.source.uri, f"{text.source.locator}#{n}"))
        for n, piece in enumerate(pieces, 1)
        if piece.strip()
    ]
