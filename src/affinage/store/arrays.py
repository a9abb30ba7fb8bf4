"""The one content-addressed array cache: frozen outputs and other arrays that are dear to compute, memory-mapped.

A key is a digest of everything that can change the value, so nothing is ever invalidated: what is no longer asked
for falls out, least recently used first. A cache may lose anything at any time; it never makes a run fail.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

LIMIT = 2 << 30  # bytes
_PREFIX = struct.Struct("<8sIIQ")  # magic, header bytes, CRC-32 of header and data, data bytes
_MAGIC = b"AFARRAY1"
_ENDING = ".arr"
_STALE = 3600.0  # seconds after which another process's half-written file counts as left behind

Array = NDArray[Any]


def cache_key(*parts: Any) -> str:
    """32 hex digits of BLAKE2b over the canonical JSON of `parts` (bytes are hashed as they are)."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        raw = part if isinstance(part, bytes) else orjson.dumps(part, option=orjson.OPT_SORT_KEYS)
        state.update(len(raw).to_bytes(8, "little") + raw)
    return state.hexdigest()


def cache_folder() -> Path:
    """`$AFFINAGE_CACHE`, else `affinage` in the user's cache folder, else (not writable) a temporary folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    wished = Path(os.environ.get("AFFINAGE_CACHE") or Path(home) / "affinage").expanduser()
    with contextlib.suppress(OSError):
        wished.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(wished, os.W_OK | os.X_OK):
            return wished
    user = os.getuid() if hasattr(os, "getuid") else "user"
    fallback = Path(tempfile.gettempdir()) / f"affinage-cache-{user}"
    with contextlib.suppress(OSError):
        fallback.mkdir(exist_ok=True, mode=0o700)
        if _is_ours(fallback):
            return fallback
    return Path(tempfile.mkdtemp(prefix="affinage-cache-"))


@dataclass(slots=True)
class CacheCounts:
    """What became of the requests: `broken` files were thrown away, `unwritten` arrays could not be kept."""

    hits: int = 0
    misses: int = 0
    broken: int = 0
    unwritten: int = 0
    dropped: int = 0


class ArrayCache:
    """Arrays by key, each a file of its own; safe to share between processes.

    Args:
        folder: where the files lie (default: `cache_folder()`).
        limit: bytes kept on disk; beyond it the least recently used files are dropped.
    """

    def __init__(self, folder: Path | None = None, *, limit: int = LIMIT) -> None:
        self.folder = folder if folder is not None else cache_folder()
        self.limit = limit
        self.counts = CacheCounts()

    def get(self, key: str) -> Array | None:
        """The array put under `key`, memory-mapped and read-only, or None."""
        found = self._read(self._path(key))
        self.counts.hits += found is not None
        self.counts.misses += found is None
        return found[0] if found else None

    def put(self, key: str, array: Array) -> None:
        """Keep `array` under `key`; where the disk refuses, it is counted and nothing else happens."""
        self._write(self._path(key), array, [])

    def rows(self, space: str) -> RowShelf:
        """The rows kept under the key `space`, each by an id of its own."""
        return RowShelf(self, _checked(space))

    def files(self, space: str) -> Iterator[tuple[Array, list[str]]]:
        """The arrays kept together under the key `space`, each with its ids."""
        folder = self.folder / _checked(space)
        for path in sorted(folder.glob("*" + _ENDING)) if folder.is_dir() else []:
            if (found := self._read(path)) is not None:
                yield found

    def add(self, space: str, key: str, array: Array, ids: list[str]) -> tuple[Array, list[str]] | None:
        """Keep one more array with its ids under `space`: as it lies on disk now, or None where the disk refused."""
        path = self.folder / _checked(space) / (_checked(key) + _ENDING)
        self._write(path, array, ids)
        return self._read(path)

    def _path(self, key: str) -> Path:
        return self.folder / (_checked(key) + _ENDING)

    def _read(self, path: Path) -> tuple[Array, list[str]] | None:
        try:
            found = _parse(path)
            os.utime(path)  # the time of last use
        except (FileNotFoundError, PermissionError):
            return None
        except (OSError, ValueError, KeyError, TypeError):
            self.counts.broken += 1
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        return found

    def _write(self, path: Path, array: Array, ids: list[str]) -> None:
        array = np.asarray(array, order="C")
        if array.dtype.kind not in "fiub":
            raise TypeError(f"the cache keeps numbers, not {array.dtype}")
        if array.nbytes > self.limit:
            self.counts.unwritten += 1
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_atomically(path, array, ids)
            self._prune(keep=path)
        except OSError:
            self.counts.unwritten += 1

    def _prune(self, keep: Path) -> None:
        now, files = time.time(), []
        for path, stat in _files(self.folder):
            if path.suffix == _ENDING:
                files.append((stat.st_mtime, stat.st_size, path))
            elif now - stat.st_mtime > _STALE:
                path.unlink(missing_ok=True)
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self.limit:
                return
            if path != keep:
                path.unlink(missing_ok=True)
                self.counts.dropped += 1
                total -= size


@dataclass(slots=True)
class RowShelf:
    """Vectors of one length by row id. Each `put` adds one file; `find` maps them all."""

    cache: ArrayCache
    space: str
    _places: dict[str, tuple[Array, int]] | None = field(default=None)

    def find(self, ids: Sequence[str]) -> dict[str, Array]:
        """The vectors that are here, by id."""
        if self._places is None:
            self._places = self._open()
        found = {}
        for row in ids:
            if (place := self._places.get(row)) is not None:
                found[row] = place[0][place[1]]
        self.cache.counts.hits += len(found)
        self.cache.counts.misses += len(ids) - len(found)
        return found

    def put(self, ids: Sequence[str], rows: Array) -> None:
        """Keep `rows` (N, ...) under `ids` (N); they can be found from the next `ArrayCache.rows` on."""
        if len(ids) != len(rows):
            raise ValueError(f"{len(ids)} ids for {len(rows)} rows")
        if ids:
            self.cache.add(self.space, cache_key(list(ids)), rows, list(ids))

    def _open(self) -> dict[str, tuple[Array, int]]:
        places: dict[str, tuple[Array, int]] = {}
        for array, ids in self.cache.files(self.space):
            places.update((row, (array, number)) for number, row in enumerate(ids))
        return places


def _checked(key: str) -> str:
    if not key or not all(letter in "0123456789abcdef" for letter in key):
        raise ValueError(f"{key!r} is not a cache key; make one with cache_key(...)")
    return key


def _parse(path: Path) -> tuple[Array, list[str]]:
    with path.open("rb") as file:
        magic, header_bytes, crc, data_bytes = _PREFIX.unpack(_exactly(file.read(_PREFIX.size), _PREFIX.size))
        if magic != _MAGIC:
            raise ValueError("not an array file")
        header = _exactly(file.read(header_bytes), header_bytes)
    start = _PREFIX.size + header_bytes
    if path.stat().st_size != start + data_bytes:
        raise ValueError("cut short")
    raw: NDArray[np.uint8]
    if data_bytes:
        raw = np.memmap(path, dtype=np.uint8, mode="r", offset=start, shape=(data_bytes,))
    else:
        raw = np.empty(0, dtype=np.uint8)  # nothing cannot be mapped
    if zlib.crc32(raw.data, zlib.crc32(header)) != crc:
        raise ValueError("checksum differs")
    facts = orjson.loads(header)
    array: Array = raw.view(np.dtype(facts["dtype"])).reshape(facts["shape"])
    return array, list(facts["ids"])


def _exactly(raw: bytes, size: int) -> bytes:
    if len(raw) != size:
        raise ValueError("cut short")
    return raw


def _write_atomically(path: Path, array: Array, ids: list[str]) -> None:
    header = orjson.dumps({"dtype": array.dtype.str, "shape": list(array.shape), "ids": ids})
    header += b" " * (-(len(header) + _PREFIX.size) % 64)  # the data begin on a cache line
    data = array.reshape(-1).view(np.uint8).data
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_PREFIX.pack(_MAGIC, len(header), zlib.crc32(data, zlib.crc32(header)), array.nbytes))
            file.write(header)
            file.write(data)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in folder.rglob("*"):
        if path.suffix in (_ENDING, ".part"):
            with contextlib.suppress(OSError):  # another process dropped it meanwhile
                yield path, path.stat()


def _is_ours(folder: Path) -> bool:
    """Whether a folder in the shared temporary place belongs to this user (a link or a stranger's would not do)."""
    if folder.is_symlink() or not os.access(folder, os.W_OK | os.X_OK):
        return False
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
