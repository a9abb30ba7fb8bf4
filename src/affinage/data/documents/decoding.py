"""Bytes of text documents as characters."""

from __future__ import annotations

import codecs

from affinage.data.documents.document import DocumentError, Draft

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GUESSED_FROM = 100_000  # bytes


def decoded(raw: bytes, draft: Draft, declared: str | None = None) -> str:
    """The characters of `raw`: by its byte-order mark, as UTF-8, as declared, else by a guess that is noted.

    Raises:
        DocumentError: binary data.
    """
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return raw.decode(encoding, "replace")
    if b"\0" in raw[:_GUESSED_FROM]:
        raise DocumentError(f"{draft.source}: a binary file, not text", fix="check what the file really is")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    encoding = _known(declared) or _guess(raw)
    if encoding != _known(declared):
        draft.notes.append(f"{draft.source}: not UTF-8, read as {encoding} (a guess)")
    return raw.decode(encoding, "replace")


def _known(name: str | None) -> str | None:
    """The codec of that name; what is not a text encoding (`base64`, `zlib` ...) counts as unknown."""
    try:
        found = codecs.lookup((name or "").strip())
        b"".decode(found.name)
    except (LookupError, ValueError):
        return None
    return found.name


def _guess(raw: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(raw[:_GUESSED_FROM]).best()
    return str(best.encoding) if best is not None else "cp1252"
