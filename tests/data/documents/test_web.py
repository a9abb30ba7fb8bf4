"""Web pages, e-books, notebooks and articles."""

from __future__ import annotations

from pathlib import Path

import pytest

from affinage.data.documents.document import Document, DocumentError
from affinage.data.documents.reading import read_document

from .makers import PAGE, write_epub, write_notebook


def web(tmp_path: Path, page: str | bytes) -> Document:
    path = tmp_path / "a.html"
    path.write_bytes(page if isinstance(page, bytes) else page.encode("utf-8"))
    return read_document(path)


def test_main_text_with_headings_and_what_is_left_out_counted(tmp_path: Path) -> None:
    document = web(tmp_path, PAGE)
    assert document.title == "Delivery - Shop"
    assert "# Delivery" in document.text.split("\n")
    assert "## Cold chain" in document.text.split("\n")
    assert "| Zone | Price |\n| --- | --- |\n| Valley | 4 |" in document.text
    assert "- Ring twice\n- Leave at the gate" in document.text
    assert "never shown" not in document.text
    assert "color" not in document.text
    assert "News" not in document.text
    assert document.removed["characters outside the main text"] >= len("HomeShopNews")
    start = document.text.index("Fresh cheese")
    assert document.locate(start, start + 5).heading[-1] == "Cold chain"


def test_a_page_without_main_text_keeps_all_that_is_visible(tmp_path: Path) -> None:
    document = web(tmp_path, "<p>Ring<br>twice</p><p style='display: none'>no</p><script>no</script>")
    assert document.text == "Ring\ntwice"
    assert document.removed == {"hidden characters": 2}


def test_a_page_that_shows_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no text") as caught:
        web(tmp_path, "<html><script>let a = 1</script><!-- nothing --></html>")
    assert caught.value.reason == "no-text"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    page = f'<html><head><meta charset="{encoding}"></head><body><p>Käse für die Küche, très bon</p></body></html>'
    assert web(tmp_path, page.encode(encoding)).text == "Käse für die Küche, très bon"


def test_an_encoding_that_is_not_declared_is_guessed_and_noted(tmp_path: Path) -> None:
    said = "Le fromage affiné à la cave a été retourné chaque été par les élèves de l'école. " * 3
    document = web(tmp_path, f"<p>{said}</p>".encode("cp1252"))
    assert document.text == said.strip()
    assert any("a guess" in note for note in document.notes)


def test_a_page_nested_too_deeply_keeps_its_words(tmp_path: Path) -> None:
    document = web(tmp_path, "<div>" * 3000 + "deep down" + "</div>" * 3000 + "<p>and after</p>")
    assert document.text == "deep down\n\nand after"
    assert any("nested" in note for note in document.notes)


def test_epub_chapters_in_reading_order(tmp_path: Path) -> None:
    document = read_document(write_epub(tmp_path / "a.epub"))
    assert document.title == "Rinds"
    assert document.text == "# One\n\nThe washed rind is orange.\n\n# Two\n\nThe natural rind is grey."
    assert document.removed == {"pages of contents": 1}


def test_notebook(tmp_path: Path) -> None:
    document = read_document(write_notebook(tmp_path / "a.ipynb"))
    assert document.text == "# Yield\n\nMilk to cheese.\n\n```python\nprint(1 / 10)\n```"
    assert document.removed == {"outputs of cells": 1}
    assert document.blocks[-1].kind == "code"


def test_article(tmp_path: Path) -> None:
    path = tmp_path / "a.nxml"
    path.write_text(
        "<article><front><article-meta><title-group><article-title>On <italic>rinds</italic></article-title>"
        "</title-group><abstract><p>Short.</p></abstract></article-meta></front><body><sec><title>Methods</title>"
        "<p>We looked [<xref>1</xref>].</p><sec><title>Samples</title><p>Two wheels.</p></sec></sec></body>"
        "<back><ref-list><title>References</title><ref>A</ref><ref>B</ref></ref-list></back></article>"
    )
    document = read_document(path)
    assert document.text == (
        "# On rinds\n\n## Abstract\n\nShort.\n\n## Methods\n\nWe looked [1].\n\n### Samples\n\nTwo wheels."
    )
    assert document.removed == {"references": 2}
    assert document.blocks[-1].heading == ("On rinds", "Methods", "Samples")
