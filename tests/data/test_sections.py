"""A few long texts are cut into sections, and nothing is lost on the way."""

from __future__ import annotations

from affinage.data.records import Source, Text
from affinage.data.splits.sections import into_sections


def test_few_long_texts_are_cut_at_paragraphs() -> None:
    body = "\n\n".join(f"Paragraph {n} says something of its own." for n in range(400))
    text = Text(text=body, source=Source("book.txt"))
    sections = into_sections([text], size=2000)
    assert len(sections) > 5
    assert "".join(section.text for section in sections) == body
    assert all(section.parents == (text.id,) for section in sections)
    assert all(len(section.text) <= 3000 for section in sections)


def test_many_texts_or_short_ones_stay_whole() -> None:
    many = [Text(text=f"{n} " * 9000) for n in range(20)]
    assert into_sections(many) == many
    short = [Text(text="just this")]
    assert into_sections(short) == short


def test_a_text_without_any_border_is_cut_all_the_same() -> None:
    sections = into_sections([Text(text="x" * 50_000)])
    assert "".join(section.text for section in sections) == "x" * 50_000
    assert len(sections) > 5
