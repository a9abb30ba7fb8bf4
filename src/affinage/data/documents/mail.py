"""E-mail: who wrote to whom, when and about what, and what the message itself says."""

from __future__ import annotations

from collections.abc import Iterator
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any

from affinage.data.documents.decoding import decoded
from affinage.data.documents.document import DocumentError, Draft
from affinage.data.documents.elements import add_elements
from affinage.data.documents.limits import Limits
from affinage.data.documents.quoting import own_words
from affinage.data.documents.web import add_visible, parse_html

_HEAD = ("From", "To", "Cc", "Date", "Subject")
_MOST_PARTS = 1000
_MOST_NAMED = 20
_FROM = b"From "


def read_mail(path: Path, draft: Draft, limits: Limits) -> None:
    """A message (.eml).

    Raises:
        DocumentError: no headers of a message.
    """
    add_message(draft, path.read_bytes())


def messages(path: Path) -> Iterator[bytes]:
    """The messages of a mailbox (mbox), one after the other; no more than one is held in memory."""
    message: list[bytes] = []
    inside, blank = False, True
    with path.open("rb") as lines:
        for line in lines:
            if blank and line.startswith(_FROM):
                if inside:
                    yield b"".join(message)
                inside, message = True, []
            elif inside:
                message.append(line[1:] if line.lstrip(b">").startswith(_FROM) and line.startswith(b">") else line)
            blank = not line.strip()
    if inside:
        yield b"".join(message)


def add_message(draft: Draft, raw: bytes) -> None:
    """The headers as lines `From: ...`, then the body without quoted replies and signature (both counted)."""
    message = BytesParser(policy=policy.default).parsebytes(raw)
    if not isinstance(message, EmailMessage) or not any(name in message for name in ("From", "To", "Subject", "Date")):
        raise DocumentError(
            f"{draft.source}: not an e-mail: no headers From, To, Date or Subject", fix="check the file"
        )
    head = [(name, value) for name in _HEAD if (value := _header(message, name))]
    draft.title = dict(head).get("Subject", "")
    plain, html, attached = _parts(message)
    if attached:
        draft.removed["attachments"] += len(attached)
        head.append(("Attachments", ", ".join(attached[:_MOST_NAMED])))
    # Lines of names and values: a table, which the search for boilerplate leaves alone.
    draft.add("table", "\n".join(f"{name}: {value}" for name, value in head))
    if draft.title:
        draft.enter(1, draft.title)
    before = draft.size
    if plain is not None:
        _add_plain(draft, _text(plain, draft))
    if html is not None and draft.size == before:
        _add_html(draft, _text(html, draft))
    if draft.size == before and not draft.title:
        raise DocumentError(f"{draft.source}: a message without text", fix="leave it out", reason="no-text")


def _header(message: EmailMessage, name: str) -> str:
    try:
        value = message.get(name)
    except Exception:  # the standard parser raises many things on malformed headers; the raw value is still there
        value = next((raw for key, raw in message.raw_items() if key.lower() == name.lower()), None)
    return " ".join(str(value).split()) if value is not None else ""


def _parts(message: EmailMessage) -> tuple[Message | None, Message | None, list[str]]:
    """The first plain and the first HTML part of the body, and the names of everything attached."""
    plain = html = None
    attached: list[str] = []
    waiting: list[Any] = [message]
    seen = 0
    while waiting and seen < _MOST_PARTS:
        part = waiting.pop(0)
        seen += 1
        kind = part.get_content_type()
        name = part.get_filename()
        if name or part.get_content_disposition() == "attachment" or kind == "message/rfc822":
            attached.append(" ".join(str(name or kind).split()))
        elif part.is_multipart():
            waiting[:0] = part.get_payload()
        elif kind == "text/plain" and plain is None:
            plain = part
        elif kind == "text/html" and html is None:
            html = part
        elif not kind.startswith("text/"):
            attached.append(kind)
    return plain, html, attached


def _text(part: Message, draft: Draft) -> str:
    payload = part.get_payload(decode=True)
    return decoded(payload, draft, part.get_content_charset()) if isinstance(payload, bytes) else ""


def _add_plain(draft: Draft, text: str) -> None:
    said = own_words(text, draft.removed)
    for paragraph in said.split("\n\n"):
        is_list = paragraph.lstrip().startswith(("- ", "* "))
        draft.add("list" if is_list else "text", paragraph)


def _add_html(draft: Draft, page: str) -> None:
    root, whole = parse_html(page)
    if root is None:
        return
    if not whole:
        add_visible(draft, page)
        return
    before = draft.size
    add_elements(draft, root, skips=_quoted)
    if draft.size == before:  # nothing but a quotation: then that is what the message says
        add_elements(draft, root)


def _quoted(element: Any) -> str | None:
    """Quotations and signatures as the common mail programs mark them."""
    marks = f"{element.get('class', '')} {element.get('id', '')}".lower()
    if element.tag == "blockquote" or any(mark in marks for mark in ("gmail_quote", "yahoo_quoted", "divrplyfwdmsg")):
        return "quoted lines"
    if "gmail_signature" in marks or "moz-signature" in marks:
        return "signature lines"
    return None
