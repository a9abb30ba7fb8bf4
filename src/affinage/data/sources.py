"""Where rows come from: files, folders and hub names, found, opened and decoded."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from affinage.data.records import Source, digest
from affinage.errors import InputError

HUB = "hub:"
TABLES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
TEXTS = (".txt", ".md", ".markdown")
MEDIA = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".wav", ".mp3", ".flac", ".ogg", ".mp4", ".avi", ".mov")
READABLE = f"{', '.join((*TABLES, *TEXTS))}, each also as .gz"

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
    """The extension in lower case, `.gz` looked through."""
    name = Path(uri.lower())
    return name.with_suffix("").suffix if name.suffix == ".gz" else name.suffix


def is_text(uri: str) -> bool:
    """Whether `uri` is a text file, read whole as one row."""
    return not uri.startswith(HUB) and suffix_of(uri) in TEXTS


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
    if not path.exists():
        near = f" ({path.parent} does not exist)" if not path.parent.exists() else ""
        raise InputError(
            f"{path}: no such file or folder{near}", fix="check the path; hub data are named hub:owner/name"
        )
    suffix = suffix_of(str(path))
    if suffix in MEDIA:
        raise InputError(f"{path}: images, sound and video are not read: text only", fix=f"readable: {READABLE}")
    if suffix not in TABLES + TEXTS:
        raise InputError(f"{path}: unknown type of file {suffix or '(no extension)'!r}", fix=f"readable: {READABLE}")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty", fix="check that it was written or downloaded completely")
    return str(path)


def _find_in_folder(folder: Path, found: Found) -> None:
    files: list[Path] = []

    def refuse(error: OSError) -> NoReturn:
        raise InputError(f"{error.filename}: cannot read the folder: {error.strerror}", fix="check its permissions")

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += (Path(parent, name) for name in names if not name.startswith("."))
    readable = sorted(file for file in files if suffix_of(file.name) in TABLES + TEXTS)
    others = sorted({suffix_of(file.name) or file.name for file in files} - {*TABLES, *TEXTS})
    if not readable:
        holds = f"only files of unknown types: {', '.join(others)}" if others else "no files"
        raise InputError(f"{folder}: the folder holds {holds}", fix=f"readable: {READABLE}")
    if others:
        found.notes.append(f"{folder}: files of other types left aside ({', '.join(others)})")
    if any(suffix_of(file.name) in TABLES for file in readable):
        about = [file for file in readable if is_text(file.name) and file.name.lower().startswith(_ABOUT)]
        readable = [file for file in readable if file not in about]
        if about:
            found.notes.append(f"{folder}: left aside as notes about the data: {', '.join(map(str, about))}")
    found.uris += map(str, readable)


@contextmanager
def opened(uri: str) -> Iterator[io.BufferedReader]:
    """The bytes of a file, `.gz` unpacked.

    Raises:
        InputError: the file cannot be read, or is not a whole gzip file.
    """
    try:
        with open(uri, "rb") as plain:
            if uri.lower().endswith(".gz"):
                with gzip.open(plain, "rb") as unpacked:
                    yield io.BufferedReader(unpacked)
            else:
                yield plain
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{uri}: not a whole gzip file ({error})", fix="download or pack it again") from None
    except OSError as error:
        raise InputError(f"{uri}: cannot read: {error.strerror or error}", fix="check the file's permissions") from None


def encoding_of(stream: io.BufferedReader) -> str:
    """UTF-8 unless a byte-order mark says otherwise."""
    head = stream.peek(4)[:4]
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig"


@contextmanager
def decoded(uri: str) -> Iterator[io.TextIOWrapper]:
    """The text of a file, line ends kept, a byte-order mark taken off.

    Raises:
        InputError: as `opened`, or the bytes are not text in the encoding; the line is named.
    """
    with opened(uri) as stream:
        encoding = encoding_of(stream)
        try:
            yield io.TextIOWrapper(stream, encoding=encoding, newline="")
        except UnicodeError:
            raise _not_decodable(uri, encoding) from None


def _not_decodable(uri: str, encoding: str) -> InputError:
    if encoding != "utf-8-sig":
        return InputError(f"{uri}: not valid {encoding.upper()}", fix="save the file as UTF-8")
    fix = f"save it as UTF-8; if it came from Windows: iconv -f WINDOWS-1252 -t UTF-8 '{Path(uri).name}' > utf8-copy"
    with opened(uri) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = line[error.start]
                return InputError(f"{uri}:{number}: column {error.start + 1}, not UTF-8 (byte 0x{byte:02x})", fix=fix)
    return InputError(f"{uri}: not UTF-8", fix=fix)
