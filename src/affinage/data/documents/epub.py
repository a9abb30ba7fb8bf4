"""E-books: the chapters in reading order."""

from __future__ import annotations

import posixpath
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from affinage.data.documents.archive import checked_archive
from affinage.data.documents.document import DocumentError, Draft
from affinage.data.documents.elements import add_elements
from affinage.data.documents.limits import Limits
from affinage.data.documents.markup import parse_xml
from affinage.data.documents.web import add_visible, parse_html

_CONTAINER = "META-INF/container.xml"


def read_epub(path: Path, draft: Draft, limits: Limits) -> None:
    """An EPUB; pages of contents are left out and counted.

    Raises:
        DocumentError: no list of chapters, or a damaged archive.
    """
    with checked_archive(path, limits) as archive:
        package = next((file.get("full-path") for file in _part(archive, _CONTAINER, path).iter("{*}rootfile")), None)
        book = _part(archive, package or "", path)
        draft.title = book.findtext(".//{*}metadata/{*}title") or ""
        items = {item.get("id"): item for item in book.iter("{*}item")}
        for reference in book.iter("{*}itemref"):
            item = items.get(reference.get("idref"))
            if item is None or "nav" in (item.get("properties") or "").split():
                draft.removed["pages of contents"] += 1
                continue
            name = posixpath.normpath(posixpath.join(posixpath.dirname(package or ""), unquote(item.get("href") or "")))
            _add_chapter(draft, archive, name)


def _add_chapter(draft: Draft, archive: zipfile.ZipFile, name: str) -> None:
    if name not in archive.namelist():
        draft.notes.append(f"{draft.source}: the chapter {name} is missing")
        return
    page = archive.read(name).decode("utf-8-sig", "replace")
    root, whole = parse_html(page)
    draft.top()
    if root is not None and whole:
        add_elements(draft, root)
    else:
        add_visible(draft, page)


def _part(archive: zipfile.ZipFile, name: str, path: Path) -> Any:
    if name not in archive.namelist():
        raise DocumentError(
            f"{path}: not an e-book: no part {name or 'with the list of chapters'}", fix="save it again"
        )
    return parse_xml(archive.read(name))
