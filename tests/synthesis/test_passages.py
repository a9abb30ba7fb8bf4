"""Passages: nothing between them is lost, quotes are found word for word, places are those of the file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affinage.data.records import Source
from affinage.synthesis.passages import Passage, Reading, cut, find_quote

FILE = Source("a.txt")


@given(st.text(alphabet="ab .\n", max_size=400), st.integers(5, 60))
def test_passages_are_pieces_of_the_text_and_hold_all_of_it(text: str, size: int) -> None:
    found, short = cut([Reading(text, FILE)], size, shortest=1)
    assert all(text[one.start : one.end] == one.text and len(one.text) <= size for one in found)
    assert "".join("".join(one.text for one in found).split()) == "".join(text.split())
    assert short == 0


def test_cuts_fall_between_paragraphs_and_short_pieces_are_counted() -> None:
    text = "one two three four five\n\nsix seven eight nine ten one\n\ntwo"
    found, short = cut([Reading(text, FILE)], 30, shortest=5)
    assert [one.text for one in found] == ["one two three four five", "six seven eight nine ten one"]
    assert short == 1


@pytest.mark.parametrize(
    ("quote", "span"),
    [
        ("the brown cow", (0, 13)),
        ("the  brown\ncow", (0, 13)),
        ("cow (1.5 l)", (10, 21)),
        ("The brown cow", None),
        ("brown the cow", None),
        ("bro", (4, 7)),
        ("", None),
        (".*", None),
        ("x" * 200, None),
    ],
)
def test_quotes(quote: str, span: tuple[int, int] | None) -> None:
    assert find_quote(quote, "the brown cow\n(1.5 l) a day") == span


def test_the_place_of_a_quote_is_counted_in_the_whole_text() -> None:
    reading = Reading("0123456789", Source("a.pdf", "message 2"))
    assert Passage("3456", reading, 3, 7).at(1, 3) == Source("a.pdf", "message 2, characters 4-6")


def test_after_a_redaction_places_are_still_those_of_the_original() -> None:
    text = "Write to jeanne.martin@example.org or to b@example.org about the cheese."
    reading, counts = Reading(text, FILE).redacted()
    assert reading.text == "Write to [EMAIL] or to [EMAIL] about the cheese."
    assert counts == {"EMAIL": 2}
    at = reading.text.index("about the cheese")
    start = text.index("about the cheese")
    assert reading.place(at, at + 16) == Source("a.txt", f"characters {start}-{start + 16}")
    assert reading.place(0, 8) == Source("a.txt", "characters 0-8")
    between = reading.text.index("or to")
    assert reading.place(between, between + 5).locator.startswith(f"characters {text.index('or to')}-")
