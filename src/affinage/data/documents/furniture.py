"""Running headers, footers and page numbers of a paged document, found by their repetition."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

from affinage.data.documents.document import Draft

_EDGE = 3  # lines at the top and at the bottom of a page
_FEWEST = 3  # pages that must agree
_SHARE = 0.3  # of the pages: left and right pages may differ, chapters change
_SHOWN = 3

_PAGE_NUMBER = re.compile(
    r"[-–—|\s]*(?:page|seite|página|pagina|p\.|pg\.?)\s*\d+(?:\s*(?:of|von|sur|de|di|/)\s*\d+)?[-–—|\s]*"
    r"|[-–—|\s]*\d+\s*(?:of|von|sur|/)\s*\d+[-–—|\s]*",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[-–—|\s]*(\d{1,5})[-–—|\s]*")


def take_out_furniture(draft: Draft, pages: list[list[str]]) -> None:
    """Takes the lines out of `pages` (in place), counts them, and shows a few of them in the notes."""
    repeated = _repeated(pages)
    shown: Counter[str] = Counter()
    offset = _offset(pages)
    for number, lines in enumerate(pages, start=1):
        for at in _edges(lines):
            line = lines[at]
            if _is_page_number(line, number, offset):
                draft.removed["page numbers"] += 1
            elif not repeated.isdisjoint(_keys(line, number)):
                draft.removed["page headers and footers"] += 1
                shown[line] += 1
            else:
                continue
            lines[at] = ""
    if shown:
        examples = ", ".join(repr(line[:80]) for line, _ in shown.most_common(_SHOWN))
        draft.notes.append(f"{draft.source}: repeated on its pages and left out: {examples}")


def _edges(lines: list[str]) -> list[int]:
    """Numbers of the first and last lines of a page that say something; of a short page fewer."""
    said = [number for number, line in enumerate(lines) if line]
    edge = min(_EDGE, max(1, len(said) // 3))
    return sorted({*said[:edge], *said[-edge:]})


def _keys(line: str, number: int) -> set[str]:
    """The line as it is, and with its numbers told as distances from the page's own: those of `page 7` stay equal."""
    folded = line.casefold()
    if not re.search(r"[^\W\d_]", folded):
        return set()  # numbers alone are looked at on their own
    return {folded, re.sub(r"\d{1,9}", lambda found: f"#{int(found[0]) - number}", folded)}


def _repeated(pages: list[list[str]]) -> frozenset[str]:
    """Lines that stand at the edge of many pages."""
    counts: Counter[str] = Counter()
    for number, lines in enumerate(pages, start=1):
        counts.update(set().union(*(_keys(lines[at], number) for at in _edges(lines))))
    enough = _enough(pages)
    return frozenset(key for key, count in counts.items() if count >= enough)


def _enough(pages: list[list[str]]) -> float:
    return max(_FEWEST, _SHARE * sum(any(lines) for lines in pages))


def _offset(pages: list[list[str]]) -> int | None:
    """Printed number minus position, where the lone numbers of enough pages agree on one."""
    counts: dict[int, set[int]] = defaultdict(set)
    for number, lines in enumerate(pages, start=1):
        for at in _edges(lines):
            found = _NUMBER.fullmatch(lines[at])
            if found:
                counts[int(found[1]) - number].add(number)
    if not counts:
        return None
    best = max(counts, key=lambda offset: (len(counts[offset]), -abs(offset)))
    return best if len(counts[best]) >= _enough(pages) else None


def _is_page_number(line: str, number: int, offset: int | None) -> bool:
    if _PAGE_NUMBER.fullmatch(line) and re.search(r"[^\W\d_]|/", line):
        return True
    found = _NUMBER.fullmatch(line)
    return found is not None and offset is not None and int(found[1]) - number == offset
