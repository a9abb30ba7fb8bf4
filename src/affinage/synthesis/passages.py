"""Documents cut into passages that a model can read at once, with the place that each has in its file."""

from __future__ import annotations

import bisect
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from affinage.data.records import Source

if TYPE_CHECKING:
    from affinage.data.documents.document import Document

SIZE = 2400  # characters, about 600 tokens
SHORTEST = 200  # characters; there is little to ask about less


@dataclass(frozen=True, slots=True)
class Reading:
    """A text to make passages of.

    Attributes:
        document: tells pages and headings, where the text is that of a document.
        shifts: after a redaction, for positions in `text` in ascending order by how much the original lies further on.
    """

    text: str
    source: Source
    document: Document | None = None
    shifts: tuple[tuple[int, int], ...] = ()

    def place(self, start: int, end: int) -> Source:
        """Where characters [start, end) of `text` stand: pages, headings and characters of the original."""
        start, end = self._original(start), self._original(end)
        about = str(self.document.locate(start, end)) if self.document is not None else ""
        parts = (self.source.locator, about, f"characters {start}-{end}")
        return Source(self.source.uri, ", ".join(part for part in parts if part))

    def redacted(self) -> tuple[Reading, Counter[str]]:
        """The same with placeholders for secrets and personal data, and how many of each kind there were."""
        from affinage.data.redaction import find, redact

        text, counts = redact(self.text)
        shifts, behind = [], 0
        for found in find(self.text):
            behind += found.end - found.start - len(f"[{found.kind}]")
            shifts.append((found.end - behind, behind))
        return Reading(text, self.source, self.document, tuple(shifts)), counts

    def _original(self, position: int) -> int:
        after = bisect.bisect_right(self.shifts, position, key=lambda shift: shift[0])
        return position + (self.shifts[after - 1][1] if after else 0)


@dataclass(frozen=True, slots=True)
class Passage:
    """Characters [start, end) of a reading."""

    text: str
    reading: Reading
    start: int
    end: int

    def at(self, start: int, end: int) -> Source:
        """The place of characters [start, end) of the passage in its document."""
        return self.reading.place(self.start + start, self.start + end)


def cut(readings: Sequence[Reading], size: int = SIZE, shortest: int = SHORTEST) -> tuple[list[Passage], int]:
    """Pieces of at most `size` characters, cut where paragraphs (else lines, else sentences, else words) end.

    Returns:
        The passages, and how many pieces were left out because they are shorter than `shortest`.
    """
    found, short = [], 0
    for reading in readings:
        for start, end in _cuts(reading.text, size):
            piece = reading.text[start:end]
            lead = len(piece) - len(piece.lstrip())
            start, end = start + lead, start + len(piece.rstrip())
            if end - start < shortest:
                short += end > start
                continue
            found.append(Passage(reading.text[start:end], reading, start, end))
    return found, short


def find_quote(quote: str, passage: str) -> tuple[int, int] | None:
    """Where `quote` stands in `passage`, word for word; only white space may differ."""
    words = quote.split()
    if not words or len(quote) > 2 * len(passage):
        return None
    found = re.search(r"\s+".join(map(re.escape, words)), passage)
    return found.span() if found else None


def _cuts(text: str, size: int) -> Iterator[tuple[int, int]]:
    start = 0
    while len(text) - start > size:
        end = start + size
        for border in ("\n\n", "\n", ". ", " "):
            place = text.rfind(border, start + size // 2, end)
            if place >= 0:
                end = place + len(border)
                break
        yield start, end
        start = end
    if start < len(text):
        yield start, len(text)
