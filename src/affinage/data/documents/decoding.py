"""Bytes of text documents as characters."""

from __future__ import annotations

import codecs

from affinage.data.documents.document import DocumentError, Draft
from affinage.data.reading.decoding import UTF8, encoding_in

_GUESSED_FROM = 100_000  # bytes


def decoded(raw: bytes, draft: Draft, declared: str | None = None) -> str:
    """The characters of `raw`: by its byte-order mark, as UTF-8, as declared, else by a guess that is noted.

    Raises:
        DocumentError: binary data.
    """
    encoding = encoding_in(raw)
    is_told = encoding != UTF8 or raw.startswith(codecs.BOM_UTF8)
    text = raw.decode(encoding, "replace") if is_told else ""
    if "\0" in text[:_GUESSED_FROM] or (not is_told and b"\0" in raw[:_GUESSED_FROM]):
        raise DocumentError(f"{draft.source}: a binary file, not text", fix="check what the file really is")
    if is_told:
        return text
    try:
        return raw.decode(encoding)
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
    """The likeliest of all encodings. `reading.legacy` knows six of them only, enough for a message but not to read by."""
    from charset_normalizer import from_bytes

    best = from_bytes(raw[:_GUESSED_FROM]).best()
    return str(best.encoding) if best is not None else "cp1252"
