"""Journal articles in JATS XML: title, abstract, body with its sections; the list of references is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from affinage.data.documents.document import DocumentError, Draft
from affinage.data.documents.elements import add_elements
from affinage.data.documents.limits import Limits
from affinage.data.documents.markup import parse_xml

_TAGS = {
    "list": "ul",
    "list-item": "li",
    "italic": "i",
    "bold": "b",
    "xref": "a",
    "ext-link": "a",
    "email": "a",
    "named-content": "span",
    "break": "br",
    "label": "b",
    "tex-math": "span",
    "sec": "section",
    "disp-quote": "blockquote",
    "caption": "div",
    "fig": "figure",
    "disp-formula": "div",
    "alternatives": "span",
    "preformat": "pre",
}
_LEFT_OUT = {
    "ref-list": "references",
    "graphic": "pictures",
    "media": "pictures",
    "supplementary-material": "supplementary files",
}


def read_article(path: Path, draft: Draft, limits: Limits) -> None:
    """An article in JATS.

    Raises:
        DocumentError: another kind of XML.
    """
    root = parse_xml(path.read_bytes())
    if root.tag != "article":
        raise DocumentError(f"{path}: XML of another kind (<{root.tag}>)", fix="articles in JATS are read")
    title = root.find("front//title-group/article-title")
    if title is not None:
        draft.title = " ".join("".join(title.itertext()).split())
        draft.heading(1, draft.title)
    for part in (*root.findall("front//abstract"), *root.findall("body"), *root.findall("back")):
        _count_left_out(draft, part)
        if part.tag == "abstract":
            draft.heading(2, part.findtext("title") or "Abstract")
        add_elements(draft, _as_html(part, level=3 if part.tag == "abstract" else 2))


def _count_left_out(draft: Draft, part: Any) -> None:
    for tag, what in _LEFT_OUT.items():
        for element in part.iter(tag):
            draft.removed[what] += len(element.findall("ref")) if tag == "ref-list" else 1


def _as_html(element: Any, level: int) -> Any:
    """The element with HTML's names: titles as headings by the depth of their section."""
    from lxml import html

    made = html.Element(_tag(element, level))
    made.text = element.text
    for child in element:
        if isinstance(child.tag, str) and child.tag not in _LEFT_OUT and not _is_told(child):
            inner = _as_html(child, level + (child.tag == "sec" and element.tag == "sec"))
            made.append(inner)
            inner.tail = child.tail
        elif child.tail:
            last = made[-1] if len(made) else None
            if last is None:
                made.text = (made.text or "") + child.tail
            else:
                last.tail = (last.tail or "") + child.tail
    return made


def _is_told(element: Any) -> bool:
    """A title that the reader itself has put down."""
    return element.tag == "title" and element.getparent().tag in ("abstract", "ref-list")


def _tag(element: Any, level: int) -> str:
    if element.tag == "title":
        return f"h{min(level, 6)}" if element.getparent().tag in ("sec", "ack", "app", "fn-group") else "b"
    name: str = _TAGS.get(element.tag, element.tag)
    return name if name.isalnum() else "span"
