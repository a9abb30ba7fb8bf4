"""Documents that no one here wrote."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from affinage.data.documents.corpus import load_documents
from affinage.data.documents.reading import read_document

pytestmark = pytest.mark.real


def words(text: str) -> list[str]:
    """Words without the lines of Markdown tables; hyphens are no letters here, wherever they stand."""
    return re.findall(r"[^\W_]+", re.sub(r"-\s*", "", text).casefold())


def common_in_order(one: list[str], other: list[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for at, candidate in enumerate(other, start=1):
            row[at], before = (before + 1 if word == candidate else max(row[at], row[at - 1])), row[at]
    return row[-1]


@pytest.mark.parametrize(
    ("pdf", "reference", "recovered", "in_order"),
    [
        ("test.pdf", "test_pdf.md", 0.995, 0.99),
        ("REPAIR-2022-INV-001_multipage.pdf", "REPAIR-2022-INV-001_multipage.md", 0.99, 0.9),
        ("movie-theater-booking-2024.pdf", "movie-theater-booking-2024.md", 0.98, 0.86),
    ],
)
def test_the_words_of_a_pdf_are_recovered(
    shared: Path, pdf: str, reference: str, recovered: float, in_order: float
) -> None:
    folder = shared / "data" / "documents"
    wanted = words((folder / "reference_markdown" / reference).read_text(encoding="utf-8"))
    found = words(read_document(folder / pdf).text)
    assert sum((Counter(wanted) & Counter(found)).values()) >= recovered * len(wanted)
    assert common_in_order(wanted, found) >= in_order * len(wanted)


def test_every_document_is_read_or_told(shared: Path) -> None:
    corpus = load_documents([shared / "data" / "documents"])
    assert {Path(text.source.uri).name for text in corpus.texts} == {
        "1472-6831-8-11.nxml",
        "2023-08-17-vigogne-chat-v2_0.md",
        "README.md",
        "REPAIR-2022-INV-001_multipage.md",
        "REPAIR-2022-INV-001_multipage.pdf",
        "ehp-116-1694.nxml",
        "movie-theater-booking-2024.md",
        "movie-theater-booking-2024.pdf",
        "pntd.0002065.nxml",
        "pone.0046493.nxml",
        "test.docx",
        "test.epub",
        "test.pdf",
        "test.pptx",
        "test.xlsx",
        "test_blog.html",
        "test_notebook.ipynb",
        "test_wikipedia.html",
    }
    assert sorted((drop.reason, Path(drop.source.uri).name) for drop in corpus.drops) == [
        ("near-duplicate", "test_pdf.md"),
        ("near-duplicate", "test_with_comment.docx"),
    ]
    for document in corpus.documents:
        assert all(document.text[block.start : block.end].strip() for block in document.blocks)
    languages = {Path(document.source.uri).name: document.language for document in corpus.documents}
    assert languages.pop("2023-08-17-vigogne-chat-v2_0.md") == "fr"
    assert languages.pop("test.xlsx") in ("en", None), "column names alone"
    assert set(languages.values()) == {"en"}


def test_marks_hidden_in_office_files_are_found(shared: Path) -> None:
    """The identifiers that stand in a paragraph, a heading, a table, a chart and two sheets of the sample files."""
    folder = shared / "data" / "documents"
    word, slides = read_document(folder / "test.docx"), read_document(folder / "test.pptx")
    sheets = read_document(folder / "test.xlsx")
    for mark in ("314b0a30-5b04-470b-b9f7-eed2c2bec74a", "49e168b7-d2ae-407f-a055-2167576f39a1"):
        assert mark in word.text
    assert word.locate(word.text.index("314b0a30"), word.text.index("314b0a30") + 8).heading == (
        "Introduction",
        "d666f1f7-46cb-42bd-9a39-9a39cf2a509f",
    )
    for mark, page in (("2cdda5c8", 2), ("1b92870d", 3), ("a3f6004b", 4)):
        at = slides.text.index(mark)
        assert slides.locate(at, at + 8).pages == (page,)
    assert slides.removed["pictures"] == 2
    assert "Beta: 6ff4173b-42a5-4784-9b19-f49caff4d93d" in sheets.text
    assert "ColD: affc7dad-52dc-4b98-9b5d-51e65d8a8ad0" in sheets.text
    assert read_document(folder / "test_with_comment.docx").removed["comments"] > 0
