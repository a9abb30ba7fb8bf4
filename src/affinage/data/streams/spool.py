"""Large sources of any kind as plain JSON lines on disk, which can be read from anywhere in the middle.

A compressed file, a table or one huge text is unpacked once into the cache, row by row in constant memory. Long texts
are cut at paragraph borders. Plain JSON lines are read where they lie. Beyond the room for them, the copies that were
used longest ago are dropped; one that is still needed is made again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from affinage.data.ledger import BadRows, Drop
from affinage.data.reading.blocks import is_lines
from affinage.data.reading.decoding import decoded
from affinage.data.reading.readers import read_source
from affinage.data.reading.sources import HUB, is_text, suffix_of
from affinage.data.splits.sections import cut
from affinage.errors import InputError, RunError
from affinage.store.arrays import cache_folder, cache_key
from affinage.store.room import room

LINES = (".jsonl", ".ndjson")
_IN_USE = 3600.0  # seconds after its last use in which a copy is never dropped


def is_plain(uri: str) -> bool:
    """Whether `uri` is a file of JSON lines that is not compressed."""
    return not uri.startswith(HUB) and Path(uri).suffix.lower() in LINES


def spool(uri: str, *, bad_rows: BadRows) -> str:
    """A file of JSON lines with the rows of `uri`: itself, or a copy in the cache.

    Raises:
        InputError: as the reader of this kind of file; or the disk cannot take the copy.
    """
    if is_plain(uri) and is_lines(uri):
        return uri
    path = cache_folder() / "spool" / f"{_key(uri)}.jsonl"
    if path.exists():
        os.utime(path)
        return str(path)
    part = path.with_suffix(f".part-{os.getpid()}-{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with part.open("wb") as file:
            file.writelines(_lines(uri, bad_rows))
        part.replace(path)
        _prune(path.parent)
    except OSError as error:
        raise InputError(
            f"{uri}: cannot unpack it into {path.parent}: {error.strerror or error}",
            fix="free some disk, set AFFINAGE_CACHE to a larger one, or give plain JSON lines",
        ) from None
    finally:
        part.unlink(missing_ok=True)
    return str(path)


def keep(path: str, uri: str, *, bad_rows: BadRows) -> None:
    """Marks `path`, the copy of `uri`, as in use; one that was dropped meanwhile is made again.

    Raises:
        InputError: as `spool`.
        RunError: it cannot be, as `uri` has changed or is gone.
    """
    with contextlib.suppress(OSError):
        os.utime(path)
    if os.path.exists(path):
        return
    with contextlib.suppress(FileNotFoundError):
        if spool(uri, bad_rows=bad_rows) == path:
            return
    raise RunError(
        f"{uri}: its unpacked copy was dropped from the cache, and the file itself is another one now",
        fix="put the file back and resume, or start a new run",
    )


def _prune(folder: Path) -> None:
    """Copies leave the oldest first until the others fit; halves that a killed run has left behind leave too."""
    files = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another process dropped it meanwhile
            stat = path.stat()
            files.append((stat.st_mtime, stat.st_size, path))
    most, total, now = room(folder), sum(size for _, size, _ in files), time.time()
    for used, size, path in sorted(files):
        if now - used < _IN_USE:
            return
        if total > most or path.suffix != ".jsonl":
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size


def _key(uri: str) -> str:
    if uri.startswith(HUB):
        return cache_key(uri)
    stat = os.stat(uri)
    return cache_key(os.path.abspath(uri), stat.st_size, stat.st_mtime_ns)


def _lines(uri: str, bad_rows: BadRows) -> Iterator[bytes]:
    if is_text(uri) and suffix_of(uri) == ".txt":
        yield from (orjson.dumps({"text": piece}, option=orjson.OPT_APPEND_NEWLINE) for piece in pieces(uri))
        return
    for row in read_source(uri, bad_rows=bad_rows):
        if isinstance(row, Drop):
            yield b"null\n"  # keeps its place in the count; dropped again, as no row, when it is read
        else:
            yield orjson.dumps(row.values, default=_plain, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)


def pieces(uri: str) -> Iterator[str]:
    """A huge text in pieces (see `sections.cut`), without ever holding it whole."""
    rest = ""
    with decoded(uri) as stream:
        while chunk := stream.read(1 << 20):
            *whole, rest = cut(rest + chunk.replace("\r\n", "\n"))
            yield from whole
    if rest.strip():
        yield rest


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
