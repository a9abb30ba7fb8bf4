"""Spans, places and cuts of documents."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affinage.data.documents.document import Document, DocumentError, Draft, Kind
from affinage.data.records import Source

KINDS: list[Kind] = ["text", "table", "heading", "list", "code"]


def two_pages() -> Document:
    draft = Draft(Source("a.pdf"))
    draft.heading(1, "Turning", 1)
    draft.add("text", "Every day.", 1)
    draft.heading(2, "By hand", 2)
    draft.add("text", "With care,", 2)
    draft.add("text", "and gloves.", 3, glue=" ")
    return draft.finish()


def test_blocks_are_exact_spans_and_the_text_reads_as_markdown() -> None:
    document = two_pages()
    assert document.text == "# Turning\n\nEvery day.\n\n## By hand\n\nWith care, and gloves."
    said = [document.text[block.start : block.end] for block in document.blocks]
    assert said == ["# Turning", "Every day.", "## By hand", "With care,", "and gloves."]


def test_locate_tells_pages_and_headings() -> None:
    document = two_pages()
    start = document.text.index("care")
    place = document.locate(start, document.text.index("gloves") + 3)
    assert place.pages == (2, 3)
    assert place.heading == ("Turning", "By hand")
    assert str(place) == "p. 2-3, Turning > By hand"
    assert document.locate(0, 3).pages == (1,)
    between = document.text.index("\n\n## By hand")
    assert document.locate(between, between + 12).heading == ("Turning", "By hand")


def test_a_heading_ends_the_deeper_ones() -> None:
    draft = Draft(Source("a"))
    for level, title in ((1, "A"), (3, "B"), (2, "C"), (1, "D")):
        draft.heading(level, title)
    assert [block.heading for block in draft.finish().blocks] == [("A",), ("A", "B"), ("A", "C"), ("D",)]


def test_without_cuts_counts_and_keeps_places() -> None:
    document = two_pages()
    start = document.text.index("Every day.")
    cut = document.without([(start, start + len("Every day."))], "repeated lines")
    assert cut.text == "# Turning\n\n## By hand\n\nWith care, and gloves."
    assert cut.removed == {"repeated lines": 1}
    assert cut.locate(cut.text.index("gloves"), len(cut.text)).pages == (3,)


def test_json_gives_the_same_document_back() -> None:
    document = two_pages().without([], "x")
    assert Document.from_json(json.loads(json.dumps(document.to_json()))) == document


def test_too_many_characters_are_refused() -> None:
    draft = Draft(Source("a"), most=10)
    draft.add("text", "short")
    with pytest.raises(DocumentError, match="more than 10 characters"):
        draft.add("text", "and then some")


blocks = st.lists(st.tuples(st.sampled_from(KINDS), st.text(max_size=30), st.integers(1, 3)), max_size=8)


@given(blocks)
def test_spans_are_exact_for_any_characters(said: list[tuple[Kind, str, int]]) -> None:
    draft = Draft(Source("a"))
    for kind, text, page in said:
        if kind == "heading":
            draft.heading(page, text, page)
        else:
            draft.add(kind, text, page)
    document = draft.finish()
    document.text.encode("utf-8")
    end = 0
    for block in document.blocks:
        assert end <= block.start < block.end
        assert document.text[block.start : block.end].strip()
        assert document.locate(block.start, block.end).pages == (block.page,)
        end = block.end
    assert not document.text[end:]
