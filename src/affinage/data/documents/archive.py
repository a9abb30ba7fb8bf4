"""Packed documents (Office, EPUB), looked over before any parser opens them."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from affinage.data.documents.document import DocumentError
from affinage.data.documents.limits import Limits
from affinage.data.reading.opening import zip_excess

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # what an Office file with a password is wrapped in
_CHUNK = 2**20


@contextmanager
def checked_archive(path: Path, limits: Limits) -> Iterator[zipfile.ZipFile]:
    """The archive, once every part was unpacked and counted: the sizes that it declares may be lies.

    Raises:
        DocumentError: not a zip archive, damaged, protected, too large when unpacked, or with XML entities.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _look_over(archive, path, limits)
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        with path.open("rb") as raw:
            if raw.read(len(_OLE)) == _OLE:
                raise DocumentError(
                    f"{path}: protected by a password, or of an older format",
                    fix="save it without a password in today's format",
                    reason="encrypted",
                ) from None
        raise DocumentError(f"{path}: a damaged file ({error})", fix="download or save it again") from None


def _look_over(archive: zipfile.ZipFile, path: Path, limits: Limits) -> None:
    members = archive.infolist()
    if why := zip_excess(members, limits.members, limits.unpacked):
        raise DocumentError(f"{path}: {why}", fix="split it into several files, if you trust it")
    for member in members:
        if member.flag_bits & 1:
            raise DocumentError(f"{path}: protected by a password", fix="save it without one", reason="encrypted")
        _unpack(archive, member, path)


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """Reads the part to its end: its length and checksum are held to, and XML may declare no entities."""
    is_xml = member.filename.lower().endswith((".xml", ".rels"))
    tail = b""
    with archive.open(member) as part:
        while chunk := part.read(_CHUNK):
            if is_xml and b"<!ENTITY" in tail + chunk:
                raise DocumentError(
                    f"{path}: {member.filename} declares XML entities, which no such document does",
                    fix="do not trust this file",
                )
            tail = chunk[-8:]
