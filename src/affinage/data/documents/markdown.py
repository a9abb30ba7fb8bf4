"""Markdown and plain text, kept as they are written and cut into blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from affinage.data.documents.decoding import decoded
from affinage.data.documents.document import Draft, Kind
from affinage.data.documents.limits import Limits

_ATX = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])\s+\S")
_FRONT_MATTER = re.compile(r"---\n(.*?\n)?(?:---|\.\.\.)[ \t]*(?:\n|$)", re.DOTALL)
_TITLE = re.compile(r"^title:(.*)$", re.MULTILINE | re.IGNORECASE)
_MARKS = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)|[*_`]{1,3}")
_LONGEST_FRONT_MATTER = 20_000  # characters


def read_markdown(path: Path, draft: Draft, limits: Limits) -> None:
    """A Markdown file: front matter and comments are left out and counted, all else stays as written."""
    add_markdown(draft, decoded(path.read_bytes(), draft))


def read_plain(path: Path, draft: Draft, limits: Limits) -> None:
    """A text file, its paragraphs as blocks."""
    for paragraph in re.split(r"\n(?:[ \t]*\n)+", _unix(decoded(path.read_bytes(), draft))):
        # Indentation may carry meaning here (verse, listings): only what trails is cut.
        draft.add("list", paragraph) if _ITEM.match(paragraph) else draft.add("text", paragraph)


def add_markdown(draft: Draft, text: str) -> None:
    """`text` as blocks under its own headings; a first heading of level 1 is the title where none is known."""
    text = _without_front_matter(draft, _unix(text))
    for kind, level, said in _blocks(_without_comments(draft, text)):
        if kind == "heading":
            title = _MARKS.sub(r"\1", said).strip()
            draft.title = draft.title or (title if level == 1 else "")
            draft.heading(level, title)
        else:
            draft.add(kind, said)


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _without_front_matter(draft: Draft, text: str) -> str:
    front = _FRONT_MATTER.match(text[:_LONGEST_FRONT_MATTER])
    if front is None:
        return text
    title = _TITLE.search(front[0])
    draft.title = draft.title or (title[1].strip(" \t\"'") if title else "")
    draft.removed["front matter lines"] += front[0].count("\n")
    return text[front.end() :]


def _without_comments(draft: Draft, text: str) -> str:
    """HTML comments cut out, those in code fences too: the marks never show where Markdown is rendered."""
    kept, position = [], 0
    while (start := text.find("<!--", position)) >= 0 and (end := text.find("-->", start)) >= 0:
        kept.append(text[position:start])
        position = end + 3
        draft.removed["comments"] += 1
    return "".join([*kept, text[position:]])


def _blocks(text: str) -> Iterator[tuple[Kind, int, str]]:
    """(kind, level of a heading, what it says) in order."""
    waiting: list[str] = []
    lines = iter(text.split("\n"))
    for line in lines:
        fence = _FENCE.match(line)
        heading = _ATX.match(line)
        if fence:
            yield from _settled(waiting)
            yield "code", 0, "\n".join([line, *_until_closed(lines, fence[1])])
        elif heading:
            yield from _settled(waiting)
            yield "heading", len(heading[1]), _without_closing(line[heading.end() :].strip())
        elif waiting and _UNDERLINE.match(line) and _may_be_title(waiting):
            said = " ".join(waiting)
            waiting.clear()
            yield "heading", 1 if "=" in line else 2, said
        elif not line.strip():
            yield from _settled(waiting)
        else:
            waiting.append(line)
    yield from _settled(waiting)


def _without_closing(title: str) -> str:
    """A heading may be closed by as many marks as it likes."""
    bare = title.rstrip("#")
    return bare.rstrip() if not bare or bare[-1] in " \t" else title


def _until_closed(lines: Iterator[str], fence: str) -> Iterator[str]:
    for line in lines:
        yield line
        if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            return


def _may_be_title(waiting: list[str]) -> bool:
    return len(waiting) <= 2 and not _ITEM.match(waiting[0]) and not waiting[0].lstrip().startswith((">", "|"))


def _settled(waiting: list[str]) -> Iterator[tuple[Kind, int, str]]:
    """The lines that waited as one block."""
    if not waiting:
        return
    said = "\n".join(waiting)
    if _ITEM.match(waiting[0]):
        kind: Kind = "list"
    elif len(waiting) > 1 and all("|" in line for line in waiting):
        kind = "table"
    elif all(line.startswith(("    ", "\t")) for line in waiting):
        kind = "code"
    else:
        kind = "text"
    waiting.clear()
    yield kind, 0, said
