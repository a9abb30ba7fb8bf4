"""A document as clean text, with the page and the headings that every part of it stood under."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, NamedTuple

from affinage.data.documents.characters import clean_characters, squeezed
from affinage.data.records import Source
from affinage.errors import InputError

Kind = Literal["text", "table", "heading", "list", "code"]

PARAGRAPH = "\n\n"
_DEEPEST = 6


class DocumentError(InputError):
    """A file that gives no text. `reason` is what it is counted under: unreadable, encrypted, no-text, unsupported."""

    def __init__(self, message: str, *, fix: str = "", reason: str = "unreadable") -> None:
        super().__init__(message, fix=fix)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, table, heading, list or piece of code.

    Attributes:
        start, end: its characters in the document's text; blocks ascend and do not overlap.
        page: from 1, where the format has pages (PDF) or slides.
        heading: the titles that it stands under, the outermost first; a heading's own title is the last of its path.
    """

    start: int
    end: int
    page: int | None
    heading: tuple[str, ...]
    kind: Kind


class Place(NamedTuple):
    """Where a passage stands: the pages that it touches, and the headings over its beginning."""

    pages: tuple[int, ...]
    heading: tuple[str, ...]

    def __str__(self) -> str:
        pages = [f"p. {self.pages[0]}" + (f"-{self.pages[-1]}" if len(self.pages) > 1 else "")] if self.pages else []
        return ", ".join([*pages, *([" > ".join(self.heading)] if self.heading else [])])


@dataclass(frozen=True, slots=True)
class Document:
    """One document (or one message of a mailbox).

    Attributes:
        source: the file, and inside a mailbox the message.
        text: clean text; `text[block.start:block.end]` is what a block says.
        language: ISO 639-1 code, once it was looked for and could be told.
        removed: what was left out of the text, counted by kind (`page headers`, `quoted lines` ...).
        notes: one line each, for people: what a reader of the text should know.
        pages: how many the file has, where its format has pages.
        empty_pages: pages without any text, scanned ones usually.
    """

    source: Source
    title: str
    blocks: tuple[Block, ...]
    text: str
    language: str | None = None
    removed: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()
    pages: int | None = None
    empty_pages: tuple[int, ...] = ()

    def locate(self, start: int, end: int) -> Place:
        """The pages and headings of `text[start:end]`."""
        first = max(bisect.bisect_right(self.blocks, start, key=lambda block: block.start) - 1, 0)
        if first + 1 < len(self.blocks) and self.blocks[first].end <= start < end:
            first += 1  # the passage begins between two blocks
        last = max(bisect.bisect_left(self.blocks, end, key=lambda block: block.start), first + 1)
        touched = self.blocks[first:last]
        pages = sorted({block.page for block in touched if block.page is not None})
        return Place(tuple(pages), touched[0].heading if touched else ())

    def without(self, cuts: Iterable[tuple[int, int]], what: str) -> Document:
        """The document without these spans of its text (each within one block, none touching another), counted as `what`."""
        draft = Draft(self.source, self.title)
        spans = sorted(cuts)
        next_cut = before = 0
        for block in self.blocks:
            said, position = [], block.start
            while next_cut < len(spans) and spans[next_cut][0] < block.end:
                said.append(self.text[position : spans[next_cut][0]])
                position = spans[next_cut][1]
                next_cut += 1
            said.append(self.text[position : block.end])
            glue = self.text[before : block.start]
            before = block.end
            draft.append(Piece("".join(said).strip("\n"), block.kind, block.page, block.heading, glue))
        removed = self.removed + Counter({what: len(spans)})
        cut = draft.finish()
        return replace(self, blocks=cut.blocks, text=cut.text, removed=removed)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        blocks = [[block.start, block.end, block.page, list(block.heading), block.kind] for block in self.blocks]
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        source = [self.source.uri, self.source.locator]
        return {**plain, "source": source, "blocks": blocks, "removed": dict(self.removed)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Document:
        """The document that `to_json` wrote."""
        blocks = tuple(
            Block(start, end, page, tuple(heading), kind) for start, end, page, heading, kind in value["blocks"]
        )
        lists = {name: tuple(value[name]) for name in ("notes", "empty_pages")}
        source, removed = Source(*value["source"]), Counter(value["removed"])
        return cls(**{**value, **lists, "source": source, "blocks": blocks, "removed": removed})


@dataclass(frozen=True, slots=True)
class Piece:
    """A block before its place in the text is known. `glue` stands between it and the block before."""

    text: str
    kind: Kind
    page: int | None = None
    heading: tuple[str, ...] = ()
    glue: str = PARAGRAPH


class Draft:
    """A document while it is read: readers add blocks in order and count what they leave out.

    Args:
        most: characters, above which the document is refused.
    """

    def __init__(self, source: Source, title: str = "", *, most: int | None = None) -> None:
        self.source = source
        self.title = title
        self.removed: Counter[str] = Counter()
        self.notes: list[str] = []
        self.pages: int | None = None
        self.empty_pages: list[int] = []
        self._pieces: list[Piece] = []
        self._path: list[tuple[int, str]] = []
        self._most = most
        self._characters = 0

    @property
    def size(self) -> int:
        """How many blocks it has so far."""
        return len(self._pieces)

    def heading(self, level: int, title: str, page: int | None = None) -> None:
        """A heading, from level 1 down; written into the text as Markdown writes it."""
        title = " ".join(clean_characters(title, self.removed).split())
        if title:
            self.enter(level, title)
            self.add("heading", f"{'#' * max(1, min(level, _DEEPEST))} {title}", page)

    def enter(self, level: int, title: str) -> None:
        """What follows stands under `title`, which itself is not put into the text."""
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        self._path.append((level, title))

    def top(self) -> None:
        """What follows stands under no heading."""
        self._path.clear()

    def add(self, kind: Kind, text: str, page: int | None = None, *, glue: str = PARAGRAPH) -> None:
        """A block; white space and damaged characters are put in order, an empty block is passed over."""
        text = squeezed(clean_characters(text, self.removed), kind)
        self.append(Piece(text, kind, page, tuple(title for _, title in self._path), glue))

    def append(self, piece: Piece) -> None:
        """A block as it is."""
        if not piece.text.strip():
            return
        self._pieces.append(piece)
        self._characters += len(piece.text)
        if self._most is not None and self._characters > self._most:
            raise DocumentError(
                f"{self.source}: more than {self._most:,} characters of text", fix="split it into several files"
            )

    def finish(self) -> Document:
        """The document, perhaps without any text."""
        texts: list[str] = []
        blocks: list[Block] = []
        end = 0
        for piece in self._pieces:
            glue = piece.glue if texts else ""
            start = end + len(glue)
            end = start + len(piece.text)
            texts += (glue, piece.text)
            blocks.append(Block(start, end, piece.page, piece.heading, piece.kind))
        title = " ".join(clean_characters(self.title, Counter()).split())
        return Document(
            source=self.source,
            title=title,
            blocks=tuple(blocks),
            text="".join(texts),
            removed=+self.removed,  # a count of nothing is no count
            notes=tuple(self.notes),
            pages=self.pages,
            empty_pages=tuple(self.empty_pages),
        )
