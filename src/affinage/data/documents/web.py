"""Web pages: the main text with its headings; what is left out of the page is counted."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from affinage.data.documents.decoding import decoded
from affinage.data.documents.document import Draft
from affinage.data.documents.elements import add_elements, is_hidden, visible_text
from affinage.data.documents.limits import Limits

_CHARSET = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{2,40})", re.IGNORECASE)
_HEAD = 2048  # bytes in which a page says its encoding
_LEFT_OUT = "characters outside the main text"

# The extractor's own names of elements, in HTML's.
_TAGS = {"list": "ul", "item": "li", "row": "tr", "cell": "td", "lb": "br", "quote": "blockquote", "hi": "span"}


def read_web(path: Path, draft: Draft, limits: Limits) -> None:
    """An HTML file: its main text, or all visible text where no main text can be told."""
    raw = path.read_bytes()
    declared = _CHARSET.search(raw[:_HEAD])
    page = decoded(raw, draft, declared[1].decode("ascii") if declared else None)
    root, whole = parse_html(page)
    if root is None or not whole:
        draft.notes.append(f"{draft.source}: nested too deeply for its structure, read as plain visible text")
        add_visible(draft, page)
        return
    draft.title = root.findtext(".//title") or ""
    _take_out_hidden(draft, root)
    seen = visible_text(root)
    if not seen:
        return
    body = _main_text(root)
    if body is None:
        draft.notes.append(f"{draft.source}: no main text could be told from the rest, all visible text is kept")
        add_elements(draft, root)
        return
    _add_title(draft, root, body)
    add_elements(draft, body)
    left_out = _letters(seen) - _letters(visible_text(body))
    if left_out > 0:
        draft.removed[_LEFT_OUT] += left_out


def parse_html(page: str) -> tuple[Any, bool]:
    """The tree of a page (None when it holds nothing), and whether the parser came to its end."""
    from lxml import etree, html

    parser = html.HTMLParser(encoding="utf-8")
    raw = page.replace("\0", "").encode("utf-8", "replace")
    try:
        root = html.document_fromstring(raw, parser=parser) if raw.strip() else None
    except etree.ParserError:  # nothing but comments
        return None, True
    whole = not any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log)
    return root, whole


def add_visible(draft: Draft, page: str) -> None:
    """The visible text of a page whose structure cannot be followed, as paragraphs."""
    reader = _VisibleText()
    reader.feed(page)
    reader.close()
    for paragraph in re.split(r"\n\s*\n", "".join(reader.parts)):
        draft.add("text", paragraph)


def _take_out_hidden(draft: Draft, root: Any) -> None:
    """The extractor looks at no styles, so that it would keep what a browser hides."""
    for element in [one for one in root.iter() if isinstance(one.tag, str) and is_hidden(one)]:
        if element.getparent() is not None:
            draft.removed["hidden characters"] += _letters("".join(element.itertext()))
            element.drop_tree()


def _main_text(root: Any) -> Any:
    """The main part of the page as an HTML tree, or None."""
    import trafilatura

    # Pages of a knowledge base are worth more whole than spotless: recall before precision.
    found = trafilatura.bare_extraction(root, include_comments=False, include_tables=True, favor_recall=True)
    body = getattr(found, "body", None)
    if body is None:
        return None
    for element in body.iter():
        if element.tag == "head":
            element.tag = element.get("rend") if element.get("rend") in ("h1", "h2", "h3", "h4", "h5", "h6") else "h2"
        elif element.tag == "code" and "\n" in (element.text or ""):
            element.tag = "pre"
        else:
            element.tag = _TAGS.get(element.tag, element.tag)
    return body if visible_text(body) else None


def _add_title(draft: Draft, root: Any, body: Any) -> None:
    """The page's own top heading, which the extractor tends to leave to the metadata."""
    top = next((text for element in root.iter("h1") if (text := visible_text(element))), "")
    if top and not any(visible_text(heading) == top for heading in body.iter("h1", "h2")):
        draft.heading(1, top)


def _letters(text: str) -> int:
    return sum(not character.isspace() for character in text)


class _VisibleText(HTMLParser):
    """Text without tags, by a parser that keeps no tree and so minds no depth."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in ("script", "style", "noscript", "template")
        self.parts.append("\n\n" if tag in ("p", "div", "li", "tr", "h1", "h2", "h3", "br") else "")

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= bool(self._unseen) and tag in ("script", "style", "noscript", "template")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(data)
