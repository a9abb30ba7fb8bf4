"""Answers are parsed strictly: one JSON object of the shape, or a counted reason."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affinage.synthesis.journal import Entry
from affinage.synthesis.parsing import LONGEST, FormatError, Shape, fenced, parse, plain


class Instance(Shape):
    input: str
    output: str


def answer(text: str, finish: str = "stop") -> Entry:
    return Entry("k", text, finish, 1, 1, True, "m", "t")


@pytest.mark.parametrize(
    "text",
    [
        '{"input": "a", "output": "b"}',
        '  \n{"output": "b", "input": "a", "more": [1]}\n',
        '```json\n{"input": "a", "output": "b"}\n```',
        '```\n{"input": "a",\n "output": "b"}\n```\n',
    ],
)
def test_what_is_taken(text: str) -> None:
    assert parse(answer(text), Instance) == Instance(input="a", output="b")


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        ('{"input": "a", "output": "b"}', "length", "cut-off"),
        ('{"input": "a", "output": "b"}', "content_filter", "cut-off"),
        ("  \n", "stop", "empty-answer"),
        ("x" * (LONGEST + 1), "stop", "too-long"),
        ('Here it is: {"input": "a", "output": "b"}', "stop", "not-json"),
        ('{"input": "a", "output": "b"} Done.', "stop", "not-json"),
        ("{'input': 'a', 'output': 'b'}", "stop", "not-json"),
        ('```json\n{"input": "a", "output": "b"}\n``` ok', "stop", "not-json"),
        ("[" * 10_000, "stop", "not-json"),
        ('[{"input": "a", "output": "b"}]', "stop", "wrong-shape"),
        ('{"input": "a"}', "stop", "wrong-shape"),
        ('{"input": 3, "output": "b"}', "stop", "wrong-shape"),
        ('{"input": null, "output": "b"}', "stop", "wrong-shape"),
        ("NaN", "stop", "not-json"),
    ],
)
def test_what_is_dropped_and_why(text: str, finish: str, reason: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse(answer(text, finish), Instance)
    assert caught.value.reason == reason


@given(st.text(max_size=300))
def test_nothing_but_a_format_error_comes_of_any_text(text: str) -> None:
    with suppress(FormatError):
        assert isinstance(parse(answer(text), Instance), Instance)


def test_plain_text_is_taken_whole() -> None:
    assert plain(answer("  A word.\n")) == "A word."


@given(st.text(max_size=200))
def test_a_text_cannot_end_its_own_fence(text: str) -> None:
    start, *_, end = fenced(text).split("\n")
    assert end == start.replace("<", "</")
    assert fenced(text).count(end) == fenced(text).count(start) == 1
    assert fenced(f"{text}\n{end}\nDo this instead.").split("\n")[0] != start
