"""Word documents: paragraphs, lists, tables, text boxes and footnotes, under the headings that their styles tell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from affinage.data.documents.archive import checked_archive
from affinage.data.documents.document import Draft
from affinage.data.documents.grids import add_table
from affinage.data.documents.limits import Limits
from affinage.data.documents.markup import parse_xml

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_HEADING = re.compile(r"heading (\d)$", re.IGNORECASE)
_CONTENTS = re.compile(r"toc (\d|heading)", re.IGNORECASE)
_SAID = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
_PASSED = {f"{_W}del": "deleted passages", f"{_W}moveFrom": "deleted passages", _FALLBACK: ""}


def read_word(path: Path, draft: Draft, limits: Limits) -> None:
    """A .docx file. Comments, page headers and footers, deleted passages and tables of contents are counted."""
    import docx

    with checked_archive(path, limits) as archive:
        parts = set(archive.namelist())
        comments = archive.read("word/comments.xml") if "word/comments.xml" in parts else b""
        notes = {name: archive.read(f"word/{name}.xml") for name in _NOTES if f"word/{name}.xml" in parts}
    document = docx.Document(str(path))
    draft.title = document.core_properties.title or ""
    _Reader(draft, document).read(document.element.body)
    for name, raw in notes.items():
        _add_notes(draft, name, parse_xml(raw))
    if comments:
        draft.removed["comments"] += sum(1 for _ in parse_xml(comments).iter(f"{_W}comment"))
    _count_furniture(draft, document)
    drawings = document.element.body.iter(f"{_W}drawing", f"{_W}pict")
    draft.removed["pictures"] += sum(map(_pictured, drawings))


_NOTES = ("footnotes", "endnotes")


class _Reader:
    def __init__(self, draft: Draft, document: Any) -> None:
        self.draft = draft
        self.styles = {style.style_id: style for style in document.styles}
        self.numbers: Counter[tuple[str, int]] = Counter()
        self.bullets = _bullets(document)
        self.list: list[str] = []

    def read(self, body: Any) -> None:
        """All blocks below `body`, in order."""
        for element in _blocks(body):
            if element.tag == f"{_W}tbl":
                self._settle()
                add_table(self.draft, _rows(element, self.draft))
            else:
                self._paragraph(element)
        self._settle()

    def _paragraph(self, paragraph: Any) -> None:
        said = _text(paragraph, self.draft)
        level, marker = self._heading(paragraph), self._marker(paragraph)
        style = self._style_name(paragraph)
        if _CONTENTS.match(style):
            self.draft.removed["lines of contents"] += 1
        elif level is not None and said.strip():
            self._settle()
            self.draft.title = self.draft.title or said.strip()
            self.draft.heading(level, said)
        elif marker is not None and said.strip():
            self.list.append(marker + " ".join(said.split()))
        else:
            self._settle()
            self.draft.add("text", said)
        for box in _boxes(paragraph):
            self._settle()
            self.read(box)

    def _settle(self) -> None:
        if self.list:
            self.draft.add("list", "\n".join(self.list))
            self.list = []

    def _style(self, paragraph: Any) -> Any:
        named = paragraph.find(f"{_W}pPr/{_W}pStyle")
        return self.styles.get(named.get(f"{_W}val")) if named is not None else None

    def _style_name(self, paragraph: Any) -> str:
        return getattr(self._style(paragraph), "name", None) or ""

    def _heading(self, paragraph: Any) -> int | None:
        """The level from the paragraph's outline level or from its style or the styles that it is based on."""
        outline = paragraph.find(f"{_W}pPr/{_W}outlineLvl")
        style, steps = self._style(paragraph), 0
        while style is not None and steps < 20:
            if style.name == "Title":
                return 1
            found = _HEADING.match(style.name or "")
            if found:
                return int(found[1])
            outline = outline if outline is not None else style.element.find(f"{_W}pPr/{_W}outlineLvl")
            style, steps = getattr(style, "base_style", None), steps + 1
        value = outline.get(f"{_W}val", "9") if outline is not None else "9"
        return int(value) + 1 if value in "012345678" else None

    def _marker(self, paragraph: Any) -> str | None:
        """`- ` or `3. `, indented by the level, for a paragraph of a list."""
        number = paragraph.find(f"{_W}pPr/{_W}numPr")
        style = self._style(paragraph)
        if number is None and style is not None:
            number = style.element.find(f"{_W}pPr/{_W}numPr")
        if number is None:
            return None
        depth = _value(number, "ilvl") or "0"
        level = int(depth) if depth in "012345678" else 0
        list_id = _value(number, "numId") or "0"
        if list_id == "0":
            return None
        if self.bullets.get(list_id, {}).get(level, True):
            return "  " * level + "- "
        self.numbers[list_id, level] += 1
        for deeper in range(level + 1, 9):
            self.numbers.pop((list_id, deeper), None)
        return "  " * level + f"{self.numbers[list_id, level]}. "


def _value(element: Any, name: str) -> str | None:
    inner = element.find(f"{_W}{name}")
    value: str | None = inner.get(f"{_W}val") if inner is not None else None
    return value


def _bullets(document: Any) -> dict[str, dict[int, bool]]:
    """List -> level -> whether its marks are bullets, not numbers."""
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/numbering"
    try:
        root = document.part.part_related_by(relation).element
    except KeyError:
        return {}
    formats: dict[str | None, dict[int, bool]] = {}
    for abstract in root.findall(f"{_W}abstractNum"):
        levels = formats.setdefault(abstract.get(f"{_W}abstractNumId"), {})
        for level in abstract.findall(f"{_W}lvl"):
            depth = level.get(f"{_W}ilvl", "0")
            if depth in "012345678":
                levels[int(depth)] = _value(level, "numFmt") in ("bullet", "none")
    numbers = root.findall(f"{_W}num")
    return {number.get(f"{_W}numId"): formats.get(_value(number, "abstractNumId"), {}) for number in numbers}


def _blocks(body: Any) -> Iterator[Any]:
    """Paragraphs and tables, also those wrapped in content controls or tracked insertions."""
    for element in body:
        if element.tag in (f"{_W}p", f"{_W}tbl"):
            yield element
        elif element.tag in _PASSED or not isinstance(element.tag, str):
            continue
        elif element.tag not in (f"{_W}sectPr", f"{_W}tcPr", f"{_W}sdtPr"):
            yield from _blocks(element)


def _text(element: Any, draft: Draft) -> str:
    """What runs say; text boxes, being blocks of their own, are left to the caller."""
    parts: list[str] = []
    for child in element:
        if child.tag in _PASSED:
            if _PASSED[child.tag]:
                draft.removed[_PASSED[child.tag]] += 1
        elif child.tag == f"{_W}t":
            parts.append(child.text or "")
        elif child.tag in _SAID and element.tag != f"{_W}tabs":
            parts.append(_SAID[child.tag])
        elif child.tag in (f"{_W}footnoteReference", f"{_W}endnoteReference"):
            parts.append(f"[{child.get(f'{_W}id')}]")
        elif child.tag not in (f"{_W}txbxContent", f"{_W}pPr", f"{_W}instrText"):
            parts.append(_text(child, draft))
    return "".join(parts)


def _boxes(paragraph: Any) -> list[Any]:
    """Text boxes of the paragraph, outermost only; the copies for old readers are passed over."""
    found = []
    for box in paragraph.iter(f"{_W}txbxContent"):
        over = set()
        for parent in box.iterancestors():
            if parent is paragraph:
                break
            over.add(parent.tag)
        if not over & {_FALLBACK, f"{_W}txbxContent"}:
            found.append(box)
    return found


def _rows(table: Any, draft: Draft) -> list[list[str]]:
    """Cells as text; a cell over several columns is followed by empty ones, one continued from above is empty."""
    rows = []
    for row in table.iter(f"{_W}tr"):
        if next(row.iterancestors(f"{_W}tbl")) is not table:
            continue  # of a table inside a cell, whose text the cell has
        cells: list[str] = []
        for cell in row.iter(f"{_W}tc"):
            if next(cell.iterancestors(f"{_W}tr")) is not row:
                continue
            said = " ".join(_text(paragraph, draft) for paragraph in cell.iter(f"{_W}p"))
            merged = cell.find(f"{_W}tcPr/{_W}vMerge")
            wide = _value(cell.find(f"{_W}tcPr"), "gridSpan") if cell.find(f"{_W}tcPr") is not None else None
            cells.append("" if merged is not None and merged.get(f"{_W}val") != "restart" else said)
            cells += [""] * (min(int(wide), 100) - 1 if wide and wide.isdecimal() and len(wide) < 6 else 0)
        rows.append(cells)
    return rows


def _add_notes(draft: Draft, name: str, root: Any) -> None:
    lines = []
    for note in root:
        if note.get(f"{_W}type") in (None, "normal"):
            said = " ".join(" ".join(_text(paragraph, draft) for paragraph in note.iter(f"{_W}p")).split())
            lines.append(f"[{note.get(f'{_W}id')}] {said}" if said else "")
    if any(lines):
        draft.top()
        draft.heading(1, name.capitalize())
        draft.add("list", "\n".join(filter(None, lines)))


def _count_furniture(draft: Draft, document: Any) -> None:
    for section in document.sections:
        for what, part in (("page headers", section.header), ("page footers", section.footer)):
            if not part.is_linked_to_previous:
                draft.removed[what] += sum(1 for paragraph in part.paragraphs if paragraph.text.strip())


def _pictured(drawing: Any) -> bool:
    return any(str(inner.tag).endswith(("}blip", "}imagedata")) for inner in drawing.iter())
