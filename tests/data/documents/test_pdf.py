"""PDF files: pages, paragraphs, furniture, outline, and what makes one unreadable."""

from __future__ import annotations

from pathlib import Path

import pytest

from affinage.data.documents.document import DocumentError
from affinage.data.documents.reading import read_document

from .makers import pdf_bytes, write_pdf

PROSE = [
    "The wheels in the upper cellar are turned every day in the first month and then",
    "every second day, because the paste is still soft and would settle to one side. A",
    "wheel that has been for-",
    "gotten shows a flat foot, and no later turning will ever make it quite round again.",
]


def body(number: int) -> list[str]:
    """Lines that no other page has."""
    word = ("amber", "birch", "cedar", "dune", "elder", "fern", "gorse")[number - 1]
    return [f"The {word} cellar: {said} ({word})." for said in ("cold", "damp", "deep", "dark", "old", "dry", "far")]


def test_lines_become_paragraphs_and_cut_words_whole(tmp_path: Path) -> None:
    document = read_document(write_pdf(tmp_path / "a.pdf", [["Turning", *PROSE, "for all"]]))
    assert document.text.startswith("Turning\n\nThe wheels in the upper cellar")
    assert "has been forgotten shows" in document.text
    assert document.removed == {"hyphens at line ends": 1}
    assert [block.page for block in document.blocks] == [1, 1]


def test_a_hyphen_that_belongs_to_its_word_stays(tmp_path: Path) -> None:
    lines = ["This text speaks of a low-fat cheese, of low yields and of fat, and of one low-", "fat curd."]
    assert "one low-fat curd" in read_document(write_pdf(tmp_path / "a.pdf", [lines])).text


def test_short_lines_stay_lines(tmp_path: Path) -> None:
    address = ["Example Dairy", "4 Mill Lane", "Upper Valley"]
    assert read_document(write_pdf(tmp_path / "a.pdf", [address])).text == "\n".join(address)


def test_headers_footers_and_page_numbers_are_removed_and_counted(tmp_path: Path) -> None:
    pages = [["Cellar handbook 2024", *body(n), f"- {n + 4} -"] for n in range(1, 7)]
    document = read_document(write_pdf(tmp_path / "a.pdf", pages))
    assert document.removed["page headers and footers"] == 6
    assert document.removed["page numbers"] == 6
    assert "Cellar handbook" not in document.text
    assert "- 7 -" not in document.text
    assert document.text.count(" cellar: ") == 42, "all else stays"
    assert any("Cellar handbook 2024" in note for note in document.notes)


def test_what_stands_on_two_pages_only_is_no_header(tmp_path: Path) -> None:
    pages = [["Invoice", *body(1)], ["Invoice", *body(2)], body(3)]
    assert read_document(write_pdf(tmp_path / "a.pdf", pages)).text.count("Invoice") == 2


def test_numbers_that_do_not_count_pages_stay(tmp_path: Path) -> None:
    pages = [[*body(n), str(value)] for n, value in enumerate((310, 7, 95, 12), start=1)]
    text = read_document(write_pdf(tmp_path / "a.pdf", pages)).text
    assert all(str(value) in text.split() for value in (310, 7, 95, 12))


def test_the_outline_gives_headings_with_their_pages(tmp_path: Path) -> None:
    pages = [["1 Turning", *PROSE], [*PROSE, "1.1 By hand", *body(2)], body(3)]
    outline = [(1, "Turning", 1), (2, "By hand", 2), (1, "Annex", 3)]
    document = read_document(write_pdf(tmp_path / "a.pdf", pages, outline))
    headings = [(document.text[b.start : b.end], b.page) for b in document.blocks if b.kind == "heading"]
    assert headings == [("# 1 Turning", 1), ("## 1.1 By hand", 2)]
    assert document.locate(document.text.index("birch"), document.text.index("birch") + 5).heading == (
        "1 Turning",
        "1.1 By hand",
    )
    start = document.text.index("cedar")
    assert document.locate(start, start + 5) == ((3,), ("Annex",)), "a title that no line says begins with its page"


def test_a_sentence_over_two_pages_is_one_text_in_two_blocks(tmp_path: Path) -> None:
    document = read_document(write_pdf(tmp_path / "a.pdf", [[*PROSE[:2]], ["young cheese is heavy and sags."]]))
    assert "to one side. A young cheese is heavy" in document.text
    assert [block.page for block in document.blocks] == [1, 2]


def test_empty_pages_are_told(tmp_path: Path) -> None:
    document = read_document(write_pdf(tmp_path / "a.pdf", [PROSE, [], PROSE, []]))
    assert document.empty_pages == (2, 4)
    assert document.pages == 4


def test_a_scan_is_never_silently_empty(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="3 scanned pages without text") as caught:
        read_document(write_pdf(tmp_path / "scan.pdf", [[], [], []]))
    assert caught.value.reason == "no-text"


@pytest.mark.parametrize(("password", "opens"), [("", True), ("secret", False)])
def test_encryption(tmp_path: Path, password: str, opens: bool) -> None:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(write_pdf(tmp_path / "a.pdf", [PROSE])))
    writer.encrypt(password, owner_password="owner", algorithm="RC4-128")
    writer.write(tmp_path / "locked.pdf")
    if opens:
        assert "upper cellar" in read_document(tmp_path / "locked.pdf").text
    else:
        with pytest.raises(DocumentError, match="needs a password") as caught:
            read_document(tmp_path / "locked.pdf")
        assert caught.value.reason == "encrypted"


def test_broken_cross_references_are_repaired_and_told(tmp_path: Path) -> None:
    raw = pdf_bytes([PROSE]).replace(b"startxref\n", b"startxref\n9")
    (tmp_path / "a.pdf").write_bytes(raw)
    document = read_document(tmp_path / "a.pdf")
    assert "upper cellar" in document.text
    assert any("damaged" in note for note in document.notes)
