"""PDF: text page by page, lines made paragraphs, running headers and footers left out, headings from the outline."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affinage.data.documents.characters import DAMAGED, clean_characters
from affinage.data.documents.document import PARAGRAPH, DocumentError, Draft
from affinage.data.documents.furniture import take_out_furniture
from affinage.data.documents.limits import Limits
from affinage.data.documents.paragraphs import Words, paragraphs

_DAMAGED_SHARE = 0.05
_DEEPEST_OUTLINE = 5
_NO_TITLES = ("untitled", "untitled document", "(anonymous)", "unbenannt", "sans titre")


@dataclass(slots=True)
class Outline:
    """Entries of the outline: page number -> (level from 1, title), in order."""

    entries: dict[int, list[tuple[int, str]]] = field(default_factory=dict)


def read_pdf(path: Path, draft: Draft, limits: Limits) -> None:
    """A PDF file. Pages without text are told in `empty_pages`; pages that cannot be read are noted and counted.

    Raises:
        DocumentError: a password is needed, no page can be found, or the cross-references are beyond repair.
    """
    from pypdf import PdfReader

    with path.open("rb") as stream, _complaints(draft):
        reader = PdfReader(stream, strict=False)
        if reader.is_encrypted:
            _unlock(reader, path)
        draft.title = _title(reader)
        draft.pages = len(reader.pages)
        if not draft.pages:
            raise DocumentError(f"{path}: no pages can be found in it", fix="download or save it again")
        pages = [_lines(page, number, draft) for number, page in enumerate(reader.pages, start=1)]
        outline = _outline(reader, draft)
    _note_damage(draft, pages)
    take_out_furniture(draft, pages)
    _add_pages(draft, pages, outline)


@contextmanager
def _complaints(draft: Draft) -> Iterator[None]:
    """What the parser repaired or passed over in a damaged file is told in the notes, not printed."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(" ".join(record.getMessage().split())[:100])

    logger, listener = logging.getLogger("pypdf"), Listener(logging.WARNING)
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.propagate = propagates
    if said:
        draft.notes.append(
            f"{draft.source}: damaged, text may be missing; {len(said):,} complaints, the first: {said[0]}"
        )


def _unlock(reader: Any, path: Path) -> None:
    from pypdf.errors import DependencyError

    try:
        if reader.decrypt(""):  # many files are locked against printing alone, with no password to read them
            return
    except DependencyError:
        raise DocumentError(
            f"{path}: encrypted by AES", fix="pip install cryptography, or save it unprotected", reason="encrypted"
        ) from None
    raise DocumentError(f"{path}: encrypted, it needs a password", fix="save it without a password", reason="encrypted")


def _title(reader: Any) -> str:
    """What the file's metadata say; what programs put there by themselves is no title."""
    try:
        title = str((reader.metadata.title if reader.metadata else None) or "").strip()
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception:  # metadata are not worth a document
        return ""
    return "" if title.casefold() in _NO_TITLES else title


def _lines(page: Any, number: int, draft: Draft) -> list[str]:
    """The lines of a page in the order of the file; blank ones are kept as borders of paragraphs."""
    try:
        text = page.extract_text()
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # one bad page does not cost the others
        draft.removed["unreadable pages"] += 1
        draft.notes.append(f"{draft.source}: page {number} cannot be read ({' '.join(str(error).split())[:100]})")
        return []
    return [" ".join(line.split()) for line in clean_characters(text, draft.removed).strip().split("\n")]


def _note_damage(draft: Draft, pages: list[list[str]]) -> None:
    """Fonts without a table of characters give text that no one can read: that must not pass for a document."""
    said = sum(len(line) for lines in pages for line in lines)
    damaged = draft.removed[DAMAGED]
    if damaged > _DAMAGED_SHARE * (said + damaged):
        draft.notes.append(
            f"{draft.source}: {damaged / (said + damaged):.0%} of its characters cannot be decoded (fonts without "
            "a table of characters)"
        )


def _outline(reader: Any, draft: Draft) -> Outline:
    outline = Outline()
    try:
        for level, entry in _walk(reader.outline, 1):
            number = reader.get_destination_page_number(entry)
            title = " ".join(clean_characters(str(entry.title or ""), draft.removed).split())
            if number is not None and number >= 0 and title:
                outline.entries.setdefault(number + 1, []).append((level, title))
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        draft.notes.append(f"{draft.source}: its outline cannot be read ({' '.join(str(error).split())[:100]})")
    return outline


def _walk(entries: Any, level: int) -> Iterator[tuple[int, Any]]:
    for entry in entries:
        if isinstance(entry, list):
            if level < _DEEPEST_OUTLINE:
                yield from _walk(entry, level + 1)
        else:
            yield level, entry


def _add_pages(draft: Draft, pages: list[list[str]], outline: Outline) -> None:
    words = Words(pages)
    open_end = ""  # how the last page ended, when its last sentence goes on
    for number, lines in enumerate(pages, start=1):
        if not any(lines):
            draft.empty_pages.append(number)
        titles = list(outline.entries.get(number, []))
        for said in _under_titles(draft, lines, titles, number):
            for paragraph in paragraphs(said, words):
                glue = _continues(open_end, paragraph.text) if paragraph.kind == "text" else PARAGRAPH
                draft.add(paragraph.kind, paragraph.text, number, glue=glue)
                open_end = ""
        open_end = _last_words(lines)
    if words.joined:
        draft.removed["hyphens at line ends"] += words.joined


def _under_titles(draft: Draft, lines: list[str], titles: list[tuple[int, str]], page: int) -> Iterator[list[str]]:
    """The lines between headings; a title of the outline that no line says is entered where the page begins."""
    found: dict[int, tuple[int, str]] = {}
    after = 0
    for level, title in titles:
        at = next((n for n in range(after, len(lines)) if _says(lines[n], title)), None)
        if at is None:
            draft.enter(level, title)
        else:
            found[at], after = (level, title), at + 1
    start = 0
    for at, (level, _title) in found.items():
        yield lines[start:at]
        draft.heading(level, lines[at], page)
        start = at + 1
    yield lines[start:]


def _says(line: str, title: str) -> bool:
    """Whether the line is the title, perhaps with its number before it."""
    bare = re.sub(
        r"^(?:(?:chapter|section|part)\s+)?[\dIVXivxA-Z]{0,4}(?:\.\d+)*[.)]?\s+", "", line, flags=re.IGNORECASE
    )
    folded = [re.sub(r"\W+", "", text).casefold() for text in (line, bare, title)]
    return bool(folded[2]) and folded[2] in folded[:2]


def _last_words(lines: list[str]) -> str:
    return next((line for line in reversed(lines) if line), "")


def _continues(before: str, text: str) -> str:
    """A sentence that goes on over the border of two pages is not torn apart."""
    unfinished = bool(before) and (before[-1].isalnum() or before[-1] in ",;-")
    return " " if unfinished and text[:1].islower() else PARAGRAPH
