"""Cutting a few long texts into sections, so that some can be held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from affinage.data.records import Source, Text

FEW = 20  # texts; with more, whole texts are held out
SECTION = 6000  # characters


def into_sections(texts: Sequence[Text], *, few: int = FEW, size: int = SECTION) -> list[Text]:
    """The texts as they are, or cut at paragraph borders when they are fewer than `few`. Nothing is lost."""
    if len(texts) >= few:
        return list(texts)
    return [section for text in texts for section in _sections(text, size)]


def cut(text: str, size: int = SECTION) -> Iterator[str]:
    """Pieces of about `size` characters that end with a paragraph, else a line, else a word; together the text."""
    start = 0
    while len(text) - start > 1.5 * size:
        low, high = start + size // 2, start + size
        border = next((place for mark in ("\n\n", "\n", " ") if (place := text.rfind(mark, low, high)) >= 0), high - 1)
        yield text[start : border + 1]
        start = border + 1
    yield text[start:]


def _sections(text: Text, size: int) -> list[Text]:
    pieces = list(cut(text.text, size))
    if len(pieces) == 1:
        return [text]
    return [
        replace(text, text=piece, parents=(text.id,), source=Source(text.source.uri, f"{text.source.locator}#{n}"))
        for n, piece in enumerate(pieces, 1)
        if piece.strip()
    ]
