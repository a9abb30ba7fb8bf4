"""E-mail and mailboxes."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest

from affinage.data.documents.document import Document, DocumentError
from affinage.data.documents.reading import read_document, read_documents
from affinage.data.ledger import Drop

from .makers import message

HEAD = (
    "From: Ann Lee <ann@example.org>\nTo: orders@example.org\nDate: Mon, 03 Mar 2025 10:00:00 +0000\nSubject: Order 12"
)


def read(tmp_path: Path, made: EmailMessage) -> Document:
    path = tmp_path / "a.eml"
    path.write_bytes(made.as_bytes())
    return read_document(path)


def test_headers_and_body(tmp_path: Path) -> None:
    document = read(tmp_path, message("Please send two wheels.\n\nThank you.\n"))
    assert document.text == f"{HEAD}\n\nPlease send two wheels.\n\nThank you."
    assert document.title == "Order 12"
    assert document.blocks[1].heading == ("Order 12",)


@pytest.mark.parametrize(
    ("below", "quoted", "signed"),
    [
        ("On Sun, 2 Mar 2025, Bob wrote:\n> How many?\n> Two?\n", 3, 0),
        ("On Sunday the second of March of this year,\nBob <b@example.org> wrote:\n> How many?\n", 3, 0),
        ("Le 2 mars 2025, Bob a écrit :\n> Combien ?\n", 2, 0),
        ("-- \nAnn Lee\nExample Dairy\n", 0, 3),
        ("-----Original Message-----\nFrom: Bob\nSent: Sunday\nSubject: x\n\nHow many?\n", 5, 0),
        ("From: Bob\nSent: Sunday\nTo: Ann\nSubject: x\n\nHow many?\n", 5, 0),
        ("On Sun, 2 Mar 2025, Bob wrote:\nHow many?\n", 2, 0),
    ],
)
def test_quotations_and_signatures_are_removed_and_counted(
    tmp_path: Path, below: str, quoted: int, signed: int
) -> None:
    document = read(tmp_path, message(f"Two, please.\n\n{below}"))
    assert document.text == f"{HEAD}\n\nTwo, please."
    assert document.removed == {
        name: count for name, count in (("quoted lines", quoted), ("signature lines", signed)) if count
    }


def test_answers_between_quotations_stay(tmp_path: Path) -> None:
    document = read(tmp_path, message("> How many?\nTwo.\n> When?\nMonday.\n"))
    assert document.text.endswith("\n\nTwo.\nMonday.")


def test_a_message_that_only_quotes_keeps_the_quotation(tmp_path: Path) -> None:
    assert read(tmp_path, message("> How many?\n")).text.endswith("> How many?")


def test_plain_goes_before_html_and_html_is_read_where_it_is_alone(tmp_path: Path) -> None:
    page = "<p>From the <b>page</b></p><blockquote><p>old words</p></blockquote><script>x</script>"
    assert read(tmp_path, message("Plain words.\n", html=page)).text.endswith("Plain words.")
    alone = message("x")
    alone.set_content(page, subtype="html")
    document = read(tmp_path, alone)
    assert document.text.endswith("\n\nFrom the page")
    assert document.removed == {"quoted lines": 1}


def test_attachments_are_named_and_counted(tmp_path: Path) -> None:
    made = message("See the list.\n")
    made.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="list.pdf")
    made.add_attachment("a,b", filename="rows.csv")
    document = read(tmp_path, made)
    assert "Attachments: list.pdf, rows.csv" in document.text
    assert document.removed == {"attachments": 2}


def test_encodings(tmp_path: Path) -> None:
    made = message("x", subject="Käse für Zoë")
    made.set_content("Très bon, naïve élève.\n", charset="iso-8859-1", cte="quoted-printable")
    document = read(tmp_path, made)
    assert "Subject: Käse für Zoë" in document.text
    assert document.text.endswith("Très bon, naïve élève.")


def test_a_mailbox_gives_a_document_for_each_message(tmp_path: Path) -> None:
    path = tmp_path / "all.mbox"
    first, second = message("First.\n>From the hill.\n"), message("Second.\n", subject="Order 13")
    empty = b"X-Nothing: yes\n\n"
    path.write_bytes(
        b"".join(b"From a@example.org Mon Mar  3\n" + raw + b"\n" for raw in (first.as_bytes(), empty, bytes(second)))
    )
    one, nothing, two = read_documents(path)
    assert isinstance(one, Document)
    assert one.text.endswith("First.\nFrom the hill.")
    assert isinstance(nothing, Drop)
    assert isinstance(two, Document)
    assert (two.title, two.source.locator) == ("Order 13", "message 3")
    with pytest.raises(DocumentError, match="3 messages"):
        read_document(path)
