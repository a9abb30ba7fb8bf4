"""Lines that many documents share: menus, disclaimers, footers. All but the first occurrence are taken out.

Only running lines count, never headings, tables or code, which templates repeat for good reason. One short shared line
("None.", "Yes") is left alone: what goes are runs of shared lines that together say at least a few words.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from affinage.data.documents.document import Document
from affinage.data.records import normalised

_FEWEST = 5  # documents
_SHARE = 0.1  # of the documents
_MOST = 50  # documents: more than that is boilerplate in any collection
_WORDS = 6  # of a run of shared lines
_KEPT = 0.5  # of a document that stands mostly in others (a version of them), nothing is taken


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    key: bytes
    words: int


def without_boilerplate(documents: Sequence[Document]) -> list[Document]:
    """The documents without the lines that many of them share, counted in each one's `removed`."""
    lines = [list(_lines(document)) for document in documents]
    counts = Counter(key for own in lines for key in {line.key for line in own})
    enough = min(max(_FEWEST, math.ceil(_SHARE * len(documents))), _MOST)
    shared = {key for key, count in counts.items() if count >= enough}
    seen: set[bytes] = set()
    cleaned = []
    for document, own in zip(documents, lines, strict=True):
        cuts = [line for line in _runs(own, shared) if line.key in seen]
        seen.update(line.key for line in own)
        too_much = sum(line.end - line.start for line in cuts) > _KEPT * len(document.text)
        spans = [] if too_much else [(line.start, line.end) for line in cuts]
        cleaned.append(document.without(spans, "repeated lines") if spans else document)
    return cleaned


def _lines(document: Document) -> Iterator[_Line]:
    """Lines of text and lists, each with the line break after it, and None-like borders left out."""
    for block in document.blocks:
        if block.kind not in ("text", "list"):
            # A border: nothing equals it, so a run of shared lines ends here.
            yield _Line(block.start, block.end, b"", 0)
            continue
        start = block.start
        for line in document.text[block.start : block.end].split("\n"):
            end = min(start + len(line) + 1, block.end)
            folded = normalised(line)
            if folded:
                yield _Line(start, end, hashlib.blake2b(folded.encode(), digest_size=12).digest(), len(folded.split()))
            start = end


def _runs(lines: Sequence[_Line], shared: set[bytes]) -> Iterator[_Line]:
    """Lines of those runs of shared lines that say enough."""
    run: list[_Line] = []
    for line in lines:
        if line.key and line.key in shared:
            run.append(line)
            continue
        if sum(one.words for one in run) >= _WORDS:
            yield from run
        run = []
    if sum(one.words for one in run) >= _WORDS:
        yield from run
