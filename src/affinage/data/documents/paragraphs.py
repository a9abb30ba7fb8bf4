"""Lines of a typeset page made paragraphs again, words cut at line ends made whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from affinage.data.documents.document import Kind

_LONG = 60  # characters: a line of running text, whatever stands around it
_NARROWEST = 30  # characters of the narrowest column
_FULL = 0.75  # of the width that the long lines of the page have
_WORD = re.compile(r"[^\W\d_]+(?:[-’'][^\W\d_]+)*")
_CUT = re.compile(r"([^\W\d_]+)-$")
_BULLET = re.compile(r"[•▪◦‣●○■–]\s*(?=\S)")


@dataclass(frozen=True, slots=True)
class Paragraph:
    text: str
    kind: Kind


class Words:
    """The words of a document, by which a hyphen at a line end is told from one that belongs to its word."""

    def __init__(self, pages: Iterable[Sequence[str]]) -> None:
        self.joined = 0
        self._seen: set[str] = set()
        for lines in pages:
            cut = False
            for line in lines:
                words = _WORD.findall(line.casefold())
                # Neither half of a word that a line end cuts is a word.
                halves, cut = cut, line.endswith("-")
                for word in words[halves : len(words) - cut]:
                    self._seen.add(word)
                    self._seen.update(word.split("-"))

    def before(self, line: str, following: str) -> str:
        """The line as it stands before the next one of its paragraph: with a space, or with its cut word made whole."""
        cut = _CUT.search(line)
        first = _WORD.match(following)
        if cut is None or first is None or not following[0].islower():
            return f"{line} "
        left, right = cut[1].casefold(), first[0].casefold().split("-")[0]
        keeps = f"{left}-{right}" in self._seen or (len(left) > 2 and left in self._seen and right in self._seen)
        if keeps and left + right not in self._seen:
            return line
        self.joined += 1
        return line[:-1]


def paragraphs(lines: Sequence[str], words: Words) -> Iterator[Paragraph]:
    """Paragraphs and lists. A line goes on in the next one when it is as wide as the page's long lines."""
    full = _full_width(lines)
    waiting: list[_Line] = []
    goes_on = False
    for line in lines:
        item = bool(_BULLET.match(line))
        wide = len(line) >= full or bool(_CUT.search(line))
        if line and goes_on and not item:
            parts = waiting[-1].parts
            parts[-1] = words.before(parts[-1], line)
            parts.append(line)
        elif line:
            if waiting and not waiting[-1].stands_with(item, wide):
                yield _settled(waiting)
                waiting = []
            waiting.append(_Line([line], item, wide))
        goes_on = bool(line) and wide
    if waiting:
        yield _settled(waiting)


@dataclass(slots=True)
class _Line:
    """One line, or several that are joined."""

    parts: list[str]
    item: bool
    wide: bool

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def stands_with(self, item: bool, wide: bool) -> bool:
        """Whether the next line belongs to the same block: points of one list do, and lines that are both short."""
        return (item and self.item) or not (item or self.item or wide or self.wide)


def _full_width(lines: Sequence[str]) -> float:
    """From how many characters a line counts as full.

    Where most lines are as long as each other they are running text, however narrow the column; else only lines that
    are long in themselves can be.
    """
    lengths = sorted(len(line) for line in lines if line)
    if not lengths:
        return _LONG
    width = _FULL * lengths[int(0.9 * (len(lengths) - 1))]
    running = sum(length >= width for length in lengths) >= 0.5 * len(lengths)
    return max(_NARROWEST if running else _LONG, width)


def _settled(waiting: list[_Line]) -> Paragraph:
    """Short lines (an address, a form) stay a line each; bullets are written as Markdown writes them."""
    if waiting[0].item:
        return Paragraph("\n".join(_BULLET.sub("- ", line.text, count=1) for line in waiting), "list")
    return Paragraph("\n".join(line.text for line in waiting), "text")
