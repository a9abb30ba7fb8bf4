"""Blocks out of a tree of HTML elements (web pages, e-books, HTML mail, journal articles)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from affinage.data.documents.document import Draft
from affinage.data.documents.grids import add_table

# Parsed trees are at most 256 levels deep (the parser's own limit), so recursion is safe here.
# fmt: off
_UNSEEN = frozenset({
    "script", "style", "noscript", "template", "head", "svg", "math", "iframe", "object", "embed", "canvas", "audio",
    "video", "select", "option", "button", "textarea", "input", "datalist", "map", "area", "link", "meta",
})
_BREAKS = frozenset({
    "p", "div", "section", "article", "main", "body", "html", "header", "footer", "nav", "aside", "address", "center",
    "blockquote", "figure", "figcaption", "details", "summary", "form", "fieldset", "dl", "dt", "dd", "hr", "table",
    "caption", "thead", "tbody", "tfoot", "tr", "td", "th", "title",
})
_INLINE = frozenset({
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd", "mark", "q",
    "s", "samp", "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
})
# fmt: on
_HEADING = re.compile(r"h([1-6])$")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)

Skips = Callable[[Any], str | None]


def add_elements(draft: Draft, root: Any, *, skips: Skips | None = None) -> None:
    """The visible text below `root`, as blocks.

    Args:
        skips: what an element's text is counted as when it shall be left out (in lines), else None.
    """
    walker = _Walker(draft, skips or (lambda element: None))
    walker.visit(root)
    walker.flush()


def visible_text(root: Any) -> str:
    """All text that a browser would show, white space folded."""
    parts: list[str] = []
    _gather(root, parts)
    return " ".join("".join(parts).split())


def _gather(element: Any, parts: list[str]) -> None:
    if is_unseen(element):
        return
    parts.append(element.text or "")
    for child in element:
        parts.append(" " if isinstance(child.tag, str) and child.tag not in _INLINE else "")
        _gather(child, parts)
        parts += ("" if child.tag in _INLINE else " ", child.tail or "")


def is_unseen(element: Any) -> bool:
    """Whether a browser shows nothing of the element (comments have no tag of type str)."""
    if not isinstance(element.tag, str) or element.tag in _UNSEEN:
        return True
    return is_hidden(element)


def is_hidden(element: Any) -> bool:
    """Whether the element's own attributes hide it; a whole page is hidden only until a script shows it."""
    if element.tag in ("html", "body"):
        return False
    return "hidden" in element.attrib or bool(_HIDDEN.search(element.get("style", "")))


class _Walker:
    def __init__(self, draft: Draft, skips: Skips) -> None:
        self.draft = draft
        self.skips = skips
        self.waiting: list[str] = []

    def flush(self) -> None:
        """What was said since the last border, as a paragraph."""
        lines = "".join(self.waiting).split("\n")
        self.waiting.clear()
        self.draft.add("text", "\n".join(filter(None, (" ".join(line.split()) for line in lines))))

    def visit(self, element: Any) -> None:
        """The element with all that it holds, its tail left to the caller."""
        if is_unseen(element):
            if element.tag == "img":
                self.draft.removed["pictures"] += 1
            return
        what = self.skips(element)
        if what is not None:
            lines = [line for line in "".join(element.itertext()).split("\n") if line.strip()]
            self.draft.removed[what] += max(1, len(lines))
            return
        heading = _HEADING.match(element.tag)
        if heading:
            self.flush()
            self.draft.heading(int(heading[1]), visible_text(element))
        elif element.tag == "pre":
            self.flush()
            self.draft.add("code", f"```\n{''.join(element.itertext()).strip(chr(10))}\n```")
        elif element.tag in ("ul", "ol"):
            self.flush()
            self.draft.add("list", "\n".join(list_lines(element)))
        elif element.tag == "table" and _is_data(element):
            self.flush()
            self._table(element)
        else:
            self._inside(element)

    def _inside(self, element: Any) -> None:
        if element.tag == "img":
            self.draft.removed["pictures"] += 1
        breaks = element.tag in _BREAKS
        if breaks:
            self.flush()
        if element.tag == "br":
            self.waiting.append("\n")
        self.waiting.append(_folded(element.text))
        for child in element:
            self.visit(child)
            self.waiting.append(_folded(child.tail))
        if breaks:
            self.flush()

    def _table(self, table: Any) -> None:
        caption = table.find("caption")
        if caption is not None:
            self.draft.add("text", visible_text(caption))
        add_table(self.draft, [[visible_text(cell) for cell in _spread(row)] for row in table.iter("tr")])


def _spread(row: Any) -> list[Any]:
    """The cells of a row; a cell over several columns is followed by as many empty ones."""
    cells: list[Any] = []
    for cell in row.iterchildren("td", "th"):
        wide = cell.get("colspan", "1")
        more = min(int(wide), 100) - 1 if wide.isdecimal() and len(wide) < 6 else 0
        cells += [cell, *(cell.makeelement("td") for _ in range(more))]
    return cells


def _is_data(table: Any) -> bool:
    """Not a table that only lays a page out: none inside it, no headings or long lists of blocks in its cells."""
    if table.get("role") == "presentation":
        return False
    inner = next((True for tag in ("table", "h1", "h2", "h3", "pre") for _ in table.iterdescendants(tag)), False)
    return not inner and any(len(list(row.iterchildren("td", "th"))) > 1 for row in table.iter("tr"))


def list_lines(element: Any, depth: int = 0) -> list[str]:
    """A list as Markdown writes it, inner lists indented."""
    lines: list[str] = []
    number = 0
    for item in element:
        if is_unseen(item):
            continue
        if item.tag in ("ul", "ol"):
            lines += list_lines(item, depth + 1)
            continue
        said = _own_text(item)
        if said:
            number += 1
            lines.append("  " * depth + (f"{number}. " if element.tag == "ol" else "- ") + said)
        for child in item:
            if child.tag in ("ul", "ol"):
                lines += list_lines(child, depth + 1)
    return lines


def _own_text(item: Any) -> str:
    """What an item of a list says, the lists inside it left out."""
    parts = [item.text or ""]
    for child in item:
        border = "" if child.tag in _INLINE else " "
        parts.append(border)
        if child.tag not in ("ul", "ol"):
            _gather(child, parts)
        parts += (border, child.tail or "")
    return " ".join("".join(parts).split())


def _folded(text: str | None) -> str:
    """White space of the source is one space; line breaks are `<br>` alone."""
    return re.sub(r"\s+", " ", text) if text else ""
