"""Where rows come from: files, folders and hub names, by their suffixes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from affinage.data.reading.opening import PACKED, packing_of
from affinage.data.records import Source, digest
from affinage.errors import InputError

HUB = "hub:"
JSON_LINES = (".jsonl", ".ndjson")
WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")
TABLES = (*JSON_LINES, ".json", ".csv", ".tsv", ".parquet", ".arrow", ".feather", *WORKBOOKS)
TEXTS = (".txt", ".md", ".markdown")
DOCUMENTS = (".pdf", ".docx", ".pptx", ".html", ".htm", ".xhtml", ".eml", ".mbox", ".epub", ".ipynb", ".nxml")
MEDIA = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".wav", ".mp3", ".flac", ".ogg", ".mp4", ".avi", ".mov")
READABLE = (
    f"{', '.join((*TABLES, *TEXTS))}, each also as {', '.join(PACKED)}; documents as they are: {', '.join(DOCUMENTS)}"
)
_KNOWN = frozenset((*TABLES, *TEXTS, *DOCUMENTS))

# Files about the data rather than data, when they lie in a folder of tables.
_ABOUT = ("readme", "license", "licence", "changelog", "contributing", "notice")


@dataclass(frozen=True, slots=True)
class RawRow:
    """One table row, JSON object or whole text file (`{"text": ...}`), as it stands at `source`."""

    values: dict[str, Any]
    source: Source


def raw_id(value: Any) -> str:
    """The id of something that did not become a record."""
    try:
        return digest(repr(value))
    except RecursionError:  # nested a thousand levels deep
        return ""


@dataclass(slots=True)
class Found:
    """Files and hub names to read, in order, and what was left aside (`notes`, one line each)."""

    uris: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def suffix_of(uri: str) -> str:
    """The extension in lower case, `.gz`, `.zst`, `.bz2` and `.xz` looked through."""
    name = Path(uri.lower())
    return name.with_suffix("").suffix if packing_of(uri) else name.suffix


def is_text(uri: str) -> bool:
    """Whether `uri` is a text or a document, read whole, so that it has no columns."""
    return not uri.startswith(HUB) and suffix_of(uri) in (*TEXTS, *DOCUMENTS)


def _is_readable(name: str) -> bool:
    suffix = suffix_of(name)
    return suffix in _KNOWN and not (suffix in DOCUMENTS and packing_of(name))


def find(uris: Sequence[str | Path]) -> Found:
    """All readable files under `uris` (folders recursively, sorted, hidden files skipped), hub names as they are.

    Raises:
        InputError: a path is missing, unreadable, empty or of an unknown type, or a folder holds nothing readable.
    """
    if not uris:
        raise InputError("no data named", fix="name a file, a folder or hub:owner/name")
    found = Found()
    for uri in map(str, uris):
        path = Path(uri)
        if uri.startswith(HUB):
            found.uris.append(uri)
        elif path.is_dir():
            _find_in_folder(path, found)
        else:
            found.uris.append(_check_file(path))
    return found


def _check_file(path: Path) -> str:
    if not os.path.exists(path):
        near = f" ({path.parent} does not exist)" if not os.path.exists(path.parent) else ""
        raise InputError(
            f"{path}: no such file or folder{near}", fix="check the path; hub data are named hub:owner/name"
        )
    suffix = suffix_of(str(path))
    if suffix in MEDIA:
        raise InputError(f"{path}: images, sound and video are not read: text only", fix=f"readable: {READABLE}")
    if suffix not in _KNOWN:
        raise InputError(f"{path}: unknown type of file {suffix or '(no extension)'!r}", fix=f"readable: {READABLE}")
    if not _is_readable(str(path)):
        raise InputError(f"{path}: a packed document", fix="unpack it first")
    if not path.is_file():
        raise InputError(f"{path}: a pipe or a device, not a file", fix="write it to a file first")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty", fix="check that it was written or downloaded completely")
    return str(path)


def _find_in_folder(folder: Path, found: Found) -> None:
    files: list[Path] = []

    def refuse(error: OSError) -> NoReturn:
        raise InputError(f"{error.filename}: cannot read the folder: {error.strerror}", fix="check its permissions")

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += (Path(parent, name) for name in names if not name.startswith("."))
    readable = sorted(file for file in files if _is_readable(file.name))
    others = sorted({suffix_of(file.name) or file.name for file in files if not _is_readable(file.name)})
    if not readable:
        holds = f"only files of unknown types: {', '.join(others)}" if others else "no files"
        raise InputError(f"{folder}: the folder holds {holds}", fix=f"readable: {READABLE}")
    if others:
        found.notes.append(f"{folder}: files of other types left aside ({', '.join(others)})")
    if pipes := [file for file in readable if not file.is_file()]:
        found.notes.append(f"{folder}: left aside, broken links or no files: {', '.join(map(str, pipes))}")
        readable = [file for file in readable if file not in pipes]
    if any(suffix_of(file.name) in TABLES for file in readable):
        about = [file for file in readable if is_text(file.name) and file.name.lower().startswith(_ABOUT)]
        readable = [file for file in readable if file not in about]
        if about:
            found.notes.append(f"{folder}: left aside as notes about the data: {', '.join(map(str, about))}")
    found.uris += map(str, readable)
