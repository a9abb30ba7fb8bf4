"""The bytes of a file: opened, unpacked, and never more of them than a machine can hold."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from affinage.errors import InputError

PACKED = (".gz", ".zst", ".bz2", ".xz")

MIB = 1 << 20
CHUNK = MIB

# A file that is read as one value: as text it takes up to four times this in memory, as JSON up to ten times.
WHOLE = 4096 * MIB
# Below this nothing is suspected, whatever its ratio: it fits everywhere.
_HARMLESS = 64 * MIB
# Text packs 3 to 30 times; rows that repeat, some hundred times; deflate cannot reach more than 1,032.
_LARGEST_RATIO = 1000
# Office files are packed XML, 5 to 40 times smaller than what they hold.
_LARGEST_ZIP = 4096 * MIB
_HARMLESS_ZIP = 32 * MIB
_LARGEST_ZIP_RATIO = 200
_MOST_ZIP_ENTRIES = 100_000


def packing_of(uri: str) -> str:
    """The suffix by which a file is packed (`.gz`, `.zst`, `.bz2`, `.xz`), else an empty string."""
    suffix = Path(uri.lower()).suffix
    return suffix if suffix in PACKED else ""


@contextmanager
def opened(uri: str) -> Iterator[io.BufferedReader]:
    """The bytes of a file, unpacked.

    Raises:
        InputError: the file cannot be read, is not a whole packed file, or unpacks to far more than is plausible.
    """
    kind = packing_of(uri)
    try:
        with open(uri, "rb") as plain:
            if not kind:
                yield plain
                return
            with _unpacker(plain, kind) as inner:
                yield io.BufferedReader(_Counted(inner, plain, uri), CHUNK)
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise _damaged(uri, error) from None
    except OSError as error:
        if kind and error.errno is None:  # how bz2 and zstd say that the bytes are damaged
            raise _damaged(uri, error) from None
        raise InputError(f"{uri}: cannot read: {error.strerror or error}", fix="check the file's permissions") from None


def _unpacker(plain: IO[bytes], kind: str) -> Any:
    if kind == ".gz":
        return gzip.open(plain, "rb")
    if kind == ".bz2":
        return bz2.open(plain, "rb")
    if kind == ".xz":
        return lzma.open(plain, "rb")
    import pyarrow as pa

    return pa.CompressedInputStream(plain, "zstd")


def _damaged(uri: str, error: Exception) -> InputError:
    kind = {".gz": "gzip", ".zst": "zstd"}.get(packing_of(uri), packing_of(uri).strip("."))
    return InputError(f"{uri}: not a whole {kind} file ({error})", fix="download or pack it again")


class _Counted(io.RawIOBase):
    """An unpacked stream that stops where its size against the packed one is that of a bomb."""

    def __init__(self, inner: Any, packed: IO[bytes], uri: str) -> None:
        self._inner, self._packed, self._uri = inner, packed, uri
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._inner.read(len(buffer))
        buffer[: len(data)] = data
        self._size += len(data)
        if self._size > _HARMLESS and self._size > _LARGEST_RATIO * self._packed.tell():
            raise InputError(
                f"{self._uri}: unpacks to more than {_LARGEST_RATIO:,} times its size: possibly a bomb",
                fix="unpack it by hand if you trust it, and name the unpacked file",
            )
        return len(data)


def read_whole(uri: str, *, limit: int | None = None) -> bytearray:
    """All bytes of a file, unpacked.

    Raises:
        InputError: as `opened`, or there are more than `limit` (unless given: 4 GiB) of them.
    """
    limit = WHOLE if limit is None else limit
    held = bytearray()
    with opened(uri) as stream:
        if not packing_of(uri) and os.fstat(stream.fileno()).st_size > limit:
            raise too_large(uri, limit)
        while chunk := stream.read(CHUNK):
            held += chunk
            if len(held) > limit:
                raise too_large(uri, limit)
    return held


def too_large(uri: str, limit: int) -> InputError:
    """What is told of a file that would have to be held whole."""
    return InputError(
        f"{uri}: more than {limit / MIB:,.0f} MiB, and such a file is held in memory whole",
        fix="write JSON lines (.jsonl, one object a line), which are read row by row, or split the file",
    )


@contextmanager
def unpacked(uri: str) -> Iterator[str]:
    """A path under which the plain bytes lie: the file's own, or that of a temporary copy.

    Raises:
        InputError: as `opened`, or there is no room for the copy.
    """
    if not packing_of(uri):
        yield uri
        return
    suffix = Path(uri.lower()).with_suffix("").suffix
    with tempfile.TemporaryDirectory(prefix="affinage-") as folder:
        path = os.path.join(folder, f"unpacked{suffix}")
        with opened(uri) as stream:
            try:
                with open(path, "wb") as copy:
                    shutil.copyfileobj(stream, copy, CHUNK)
            except OSError as error:
                if error.errno is None:
                    raise
                raise InputError(
                    f"{uri}: no copy could be unpacked into {folder}: {error.strerror}",
                    fix="unpack the file by hand, or point TMPDIR at a larger disk",
                ) from None
        yield path


def check_zip(path: str, uri: str = "") -> None:
    """That a zip-based file (Office, EPUB) may be opened: what it says that it holds is of a plausible size.

    A file that is no zip at all passes: its reader will say so. The sizes are the archive's own word; readers
    that must not trust it limit their memory too.

    Args:
        path: where the bytes lie.
        uri: the name in messages, where it is another.

    Raises:
        InputError: too many entries, too large, or packed too well: possibly a zip bomb.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError):
        return
    size, packed = _zip_size(entries), max(os.path.getsize(path), 1)
    why = zip_excess(entries, _MOST_ZIP_ENTRIES, _LARGEST_ZIP)
    if not why and size > _HARMLESS_ZIP and size > _LARGEST_ZIP_RATIO * packed:
        why = f"{size / MIB:,.0f} MiB out of {packed / MIB:,.2f} MiB"
    if why:
        raise InputError(
            f"{uri or path}: not opened, possibly a zip bomb: {why}", fix="save what it holds as CSV or JSON lines"
        )


def zip_excess(entries: Sequence[zipfile.ZipInfo], most: int, size: int) -> str:
    """What of an archive is more than `most` entries or `size` bytes, by its own word; an empty string for nothing."""
    if len(entries) > most:
        return f"{len(entries):,} entries, more than {most:,}"
    return f"more than {size:,} bytes when unpacked" if _zip_size(entries) > size else ""


def _zip_size(entries: Sequence[zipfile.ZipInfo]) -> int:
    return sum(entry.file_size for entry in entries)
