"""One file, whatever its format, as documents."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from affinage.data.documents.document import Document, DocumentError, Draft
from affinage.data.documents.limits import Limits
from affinage.data.ledger import Drop
from affinage.data.records import Source
from affinage.errors import InputError

Reader = Callable[[Path, Draft, Limits], None]

# Suffix -> module and function; modules are imported when a file of theirs comes.
_READERS = {
    ".pdf": "pdf:read_pdf",
    ".docx": "word:read_word",
    ".pptx": "slides:read_slides",
    **dict.fromkeys((".xlsx", ".xlsm", ".xls", ".ods"), "sheets:read_sheets"),
    **dict.fromkeys((".html", ".htm", ".xhtml"), "web:read_web"),
    **dict.fromkeys((".md", ".markdown"), "markdown:read_markdown"),
    ".txt": "markdown:read_plain",
    ".eml": "mail:read_mail",
    ".epub": "epub:read_epub",
    ".ipynb": "notebook:read_notebook",
    ".nxml": "article:read_article",
}
MAILBOX = ".mbox"
SUFFIXES = (*_READERS, MAILBOX)

_INSTEAD = {
    ".rtf": "save it as .docx",
    ".doc": "save it as .docx",
    ".odt": "save it as .docx",
    ".ppt": "save it as .pptx",
    ".odp": "save it as .pptx",
    ".msg": "save it as .eml",
}


def read_document(path: str | Path, *, limits: Limits | None = None) -> Document:
    """The document in a file.

    It runs in this process: files that nobody vouches for are better read through `affinage.data.documents.corpus`,
    whose worker can be stopped.

    Raises:
        InputError: no such file, an unknown or damaged format, a password, a size over the limits, no text, or a
            mailbox of several messages.
    """
    found = read_documents(path, limits=limits)
    if len(found) != 1 or isinstance(found[0], Drop):
        raise DocumentError(f"{path}: a mailbox of {len(found)} messages", fix="read it with read_documents")
    return found[0]


def read_documents(path: str | Path, *, limits: Limits | None = None) -> list[Document | Drop]:
    """The documents in a file: one, or one for each message of a mailbox; a message that gives no text is a drop.

    Raises:
        InputError: as `read_document`.
    """
    path, limits = Path(path), limits or Limits()
    _check(path, limits)
    if path.suffix.lower() == MAILBOX:
        from affinage.data.documents.mail import messages

        sources = [(Source(str(path), f"message {number}"), raw) for number, raw in enumerate(messages(path), start=1)]
        if not sources:
            raise DocumentError(f"{path}: no message in it", fix="a mailbox begins with a line `From ...`")
        return [_message(source, raw, limits) for source, raw in sources]
    module, _, name = _READERS[path.suffix.lower()].partition(":")
    reader: Reader = getattr(importlib.import_module(f"affinage.data.documents.{module}"), name)
    return [guarded(Source(str(path)), limits, lambda draft: reader(path, draft, limits))]


def guarded(source: Source, limits: Limits, read: Callable[[Draft], None]) -> Document:
    """What `read` puts into a draft; whatever else goes wrong on the way is told as an `InputError`."""
    draft = Draft(source, most=limits.characters)
    try:
        read(draft)
        document = draft.finish()
    except InputError:
        raise
    except ImportError as error:
        raise DocumentError(
            f"{source}: reading it needs the package {error.name}",
            fix="pip install 'affinage[documents]'",
            reason="unsupported",
        ) from None
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except RecursionError:
        raise DocumentError(f"{source}: nested too deeply", fix="save it again from the program it came from") from None
    except MemoryError:
        raise DocumentError(f"{source}: too large for the memory allowed", fix="split it into several files") from None
    except BaseException as error:  # parsers of damaged files raise anything, panics of native ones included
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise DocumentError(
            f"{source}: a damaged file ({said})", fix="open it and save it again, or leave it out"
        ) from None
    if not document.text:
        raise no_text(document)
    return document


def no_text(document: Document) -> DocumentError:
    """Why a document says nothing."""
    if document.empty_pages:
        count = len(document.empty_pages)
        return DocumentError(
            f"{document.source}: {count} scanned {'page' if count == 1 else 'pages'} without text",
            fix="run text recognition (OCR) over it first",
            reason="no-text",
        )
    removed = ", ".join(f"{count:,} {what}" for what, count in sorted(document.removed.items()))
    return DocumentError(
        f"{document.source}: no text in it" + (f" (left out: {removed})" if removed else ""),
        fix="check that the file holds what you expect",
        reason="no-text",
    )


def _message(source: Source, raw: bytes, limits: Limits) -> Document | Drop:
    from affinage.data.documents.mail import add_message

    try:
        return guarded(source, limits, lambda draft: add_message(draft, raw))
    except DocumentError as error:
        return Drop(error.reason, source, str(error))


def _check(path: Path, limits: Limits) -> None:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        fix = _INSTEAD.get(suffix, f"readable: {', '.join(SUFFIXES)}")
        raise DocumentError(
            f"{path}: documents of type {suffix or '(no extension)'!r} are not read", fix=fix, reason="unsupported"
        )
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise DocumentError(f"{path}: not a file", fix="name files")
        with path.open("rb"):
            pass
    except OSError as error:
        raise DocumentError(
            f"{path}: cannot read: {error.strerror}", fix="check the path and its permissions"
        ) from None
    if size == 0:
        raise DocumentError(f"{path}: the file is empty", fix="check that it was written or downloaded completely")
    if size > limits.size:
        raise DocumentError(f"{path}: {size:,} bytes, more than {limits.size:,}", fix="split it into several files")
