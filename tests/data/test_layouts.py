"""Which layout is recognised, what its rows become, and what is refused or dropped."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affinage.data.layouts import choices
from affinage.data.layouts import columns as col
from affinage.data.layouts import finders as find
from affinage.data.layouts import judged_finders as judge
from affinage.data.layouts.known import ROLES, Layout, recognise
from affinage.data.ledger import Drop
from affinage.data.reading.sources import RawRow
from affinage.data.records import Chat, Label, Labelled, Prompt, Record, Source, Text
from affinage.errors import InputError


def raw(*rows: dict[str, Any]) -> list[RawRow]:
    return [RawRow(values, Source("f.jsonl", str(number))) for number, values in enumerate(rows, start=1)]


def records(*rows: dict[str, Any], columns: dict[str, str] | None = None) -> list[Record | Drop]:
    layout = recognise(raw(*rows), columns)
    return [record for row in raw(*rows) for record in layout.to_records(row)]


def turns(record: Record | Drop) -> list[tuple[str, str]]:
    assert isinstance(record, Chat | Prompt), record
    return [(message.role, message.content) for message in record.messages]


PAIR = [("user", "q"), ("assistant", "a")]
U, A = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}

CHATS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"messages": [U, A]}, PAIR),
    ({"messages": [{"role": "system", "content": "s"}, U, A]}, [("system", "s"), *PAIR]),
    ({"messages": [{"role": "developer", "content": "s"}, U, A]}, [("system", "s"), *PAIR]),
    ({"messages": [{"role": "system", "content": " "}, U, A]}, PAIR),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, A]}, PAIR),
    ({"system": "s", "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
     [("system", "s"), *PAIR]),
    ({"Instruction": "q", "Input": "", "Output": "a"}, PAIR),
    ({"instruction": "q", "input": "x", "output": "a"}, [("user", "q\n\nx"), ("assistant", "a")]),
    ({"instruction": "q", "context": "x", "response": "a"}, [("user", "q\n\nx"), ("assistant", "a")]),
    ({"instruction": "q", "output": "a", "system": "s", "history": [["u", "v"]]},
     [("system", "s"), ("user", "u"), ("assistant", "v"), *PAIR]),
    ({"instruction": "q", "instances": [{"input": "", "output": "a"}]}, PAIR),
    ({"prompt": "q", "completion": "a"}, PAIR),
    ({"prompt": [U], "completion": [A]}, PAIR),
    ({"prompt": "q", "response": "a", "label": "x"}, PAIR),
    ({"question": "q", "answer": "a"}, PAIR),
    ({"question": "q", "answer": 4}, [("user", "q"), ("assistant", "4")]),
    ({"query": "q", "response": "a"}, PAIR),
    ({"problem": "q", "solution": "a", "answer": "short"}, PAIR),
    ({"input": "q", "output": "a"}, PAIR),
    ({"context": "c", "question": "q", "answers": {"text": ["a", "b"], "answer_start": [0, 1]}},
     [("user", "c\n\nq"), ("assistant", "a")]),
    ({"context": "c", "question": "q", "answers": [{"text": "a", "start": 0}]},
     [("user", "c\n\nq"), ("assistant", "a")]),
]  # fmt: skip


@pytest.mark.parametrize(("row", "expected"), CHATS)
def test_chats_and_pairs(row: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    (record,) = records(row)
    assert isinstance(record, Chat)
    assert turns(record) == expected
    assert str(record.source) == "f.jsonl:1"


LABELLED: list[tuple[dict[str, Any], str, Label]] = [
    ({"text": "t", "label": 3}, "t", "3"),
    ({"text": "t", "label": 3.0}, "t", "3"),
    ({"text": "t", "label": True}, "t", "true"),
    ({"text": "t", "label": 1, "label_name": " pos "}, "t", "pos"),
    ({"Sentence": "t", "Sentiment": "pos"}, "t", "pos"),
    ({"utterance": "t", "intent": "pay"}, "t", "pay"),
    ({"question": "t", "coarse_label": "NUM"}, "t", "NUM"),
    ({"text": "t", "labels": ["x"]}, "t", ("x",)),
    ({"text": "t", "labels": ["y", " x", "y", ""]}, "t", ("x", "y")),
    ({"text": "t", "labels": []}, "t", ()),
    ({"text": "t", "label": 0.25}, "t", 0.25),
    ({"text": "t", "label": "0.25"}, "t", 0.25),
    ({"text": "t", "rating": 4.0}, "t", 4.0),
    ({"text": "t", "stars": 4}, "t", "4"),
    ({"text": "t", "score": 3.0}, "t", 3.0),
    ({"title": "h", "text": "t", "label": "x"}, "h\nt", "x"),
    ({"title": "h", "text": "h t", "label": "x"}, "h t", "x"),
]


@pytest.mark.parametrize(("row", "text", "label"), LABELLED)
def test_text_and_label(row: dict[str, Any], text: str, label: Label) -> None:
    (record,) = records(row)
    assert record == Labelled(text=text, label=label)


@pytest.mark.parametrize(
    "row", [{"text": "a\n\nb", "id": 1}, {"contexts": ["a", "b"], "question": "q"}, {"Body": "a\n\nb", "title": "t"}]
)
def test_bare_text(row: dict[str, Any]) -> None:
    assert records(row) == [Text(text="a\n\nb")]


def test_prompts_without_answers() -> None:
    assert turns(records({"prompt": "q"})[0]) == [("user", "q")]
    (record,) = records({"messages": [U]})
    assert isinstance(record, Prompt)
    kept, dropped = records({"messages": [U, A]}, {"messages": [U]})
    assert isinstance(kept, Chat)
    assert isinstance(dropped, Drop)
    assert dropped.reason == "empty-response"


def test_each_instance_of_a_seed_task_is_a_record() -> None:
    task = {"instruction": "q", "instances": [{"input": "1", "output": "a"}, {"input": "2", "output": ""}]}
    first, second = records(task)
    assert turns(first) == [("user", "q\n\n1"), ("assistant", "a")]
    assert isinstance(first, Chat)
    assert str(first.source) == "f.jsonl:1#1"
    assert isinstance(second, Drop)
    assert second.reason == "empty-response"


def test_a_turn_can_be_weighed_out() -> None:
    (record,) = records({"messages": [U, {**A, "weight": 0}]})
    assert isinstance(record, Chat)
    assert [message.learn for message in record.messages] == [None, False]


GOOD: dict[str, dict[str, Any]] = {
    "chat": {"messages": [U, A]},
    "alpaca": {"instruction": "q", "input": "", "output": "a"},
    "label": {"text": "t", "label": "x"},
    "text": {"text": "t"},
}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("text", {"text": " \n"}, "empty-text"),
    ("text", {"text": None}, "empty-text"),
    ("text", {"other": "t"}, "missing-column"),
    ("text", {"text": 7}, "wrong-type"),
    ("text", {"text": b"\x89PNG"}, "not-text"),
    ("text", {"text": "a caption", "image": {"bytes": b"\x89PNG", "path": None}}, "not-text"),
    ("label", {"text": "t", "label": ""}, "empty-label"),
    ("label", {"text": "t", "label": float("nan")}, "empty-label"),
    ("label", {"text": "t"}, "missing-column"),
    ("label", {"text": "t", "label": ["x", "y"]}, "wrong-type"),
    ("label", {"text": "t", "label": {"x": 1}}, "wrong-type"),
    ("alpaca", {"instruction": "", "input": "", "output": "a"}, "empty-prompt"),
    ("alpaca", {"instruction": "q", "output": " "}, "empty-response"),
    ("alpaca", {"instruction": ["a", 1], "output": "a"}, "wrong-type"),
    ("alpaca", {"instruction": "q", "output": "a", "history": [["only one"]]}, "wrong-type"),
    ("chat", {"messages": []}, "empty-prompt"),
    ("chat", {"messages": "hi"}, "wrong-type"),
    ("chat", {"messages": ["hi"]}, "wrong-type"),
    ("chat", {"messages": [{"content": "q"}]}, "wrong-type"),
    ("chat", {"messages": [{"role": "user", "content": 7}]}, "wrong-type"),
    ("chat", {"messages": [A]}, "bad-role-order"),
    ("chat", {"messages": [U, U, A]}, "bad-role-order"),
    ("chat", {"messages": [U, A, A]}, "bad-role-order"),
    ("chat", {"messages": [{"role": "narrator", "content": "x"}, U, A]}, "bad-role-order"),
    ("chat", {"messages": [{"role": "system", "content": "s"}] * 2 + [U, A]}, "bad-role-order"),
    ("chat", {"messages": [{"role": "user", "content": ""}, A]}, "empty-prompt"),
    ("chat", {"messages": [U, {"role": "assistant", "content": None}]}, "empty-response"),
    ("chat", {"messages": [U, {"role": "tool", "content": "x"}]}, "bad-role-order"),
    ("chat", {"messages": [U, A, {"role": "tool", "content": "x"}]}, "bad-role-order"),
    ("chat", {"messages": [U, {**A, "weight": "0"}]}, "wrong-type"),
    ("chat", {"messages": [U, {"role": "assistant", "tool_calls": [{"id": 1}]}]}, "tool-calls"),
    ("chat", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, A]}, "not-text"),
]


@pytest.mark.parametrize(("layout", "row", "reason"), BAD)
def test_reasons(layout: str, row: dict[str, Any], reason: str) -> None:
    good, bad = records(GOOD[layout], row)
    assert isinstance(good, Record)
    assert isinstance(bad, Drop)
    assert (bad.reason, str(bad.source)) == (reason, "f.jsonl:2")
    assert bad.detail


def test_columns_overrule_what_would_be_recognised() -> None:
    row = {"text": "t", "label": "x", "Long Answer": "a", "question": "q"}
    assert records(row, columns={"text": "question"}) == [Text(text="q")]
    assert records(row, columns={"text": "question", "label": "Long Answer"}) == [Labelled(text="q", label="a")]
    assert records(row, columns={"label": "label"}) == [Labelled(text="t", label="x")]
    assert turns(records(row, columns={"prompt": "question", "response": "long answer"})[0]) == PAIR
    assert turns(records(row, columns={"response": "Long Answer", "system": "text"})[0]) == [("system", "t"), *PAIR]
    assert isinstance(records(row, columns={"prompt": "question"})[0], Prompt)
    assert turns(records({"dialog_turns": [U, A]}, columns={"messages": "dialog_turns"})[0]) == PAIR


@pytest.mark.parametrize(
    ("row", "columns", "message"),
    [
        ({"alpha": 1, "beta": "long enough"}, None, r"no known layout fits the columns alpha, beta[\s\S]*text=beta"),
        ({"photo": {"bytes": b"x", "path": ""}, "label": "cat"}, None, r"photo hold images.*text only"),
        ({"prompt": "q", "response1": "a", "response2": "b"}, None, r"no column says which is better[\s\S]*winner="),
        ({"prompt": "q", "response_a": "a", "response_b": "b", "winner": 0}, {"winner": "winner"}, "do not suffice"),
        ({"text": "t", "message_id": "1", "parent_id": "0", "role": "assistant"}, None, "single messages of threads"),
        ({"text": "t", "tools": "[]"}, {"tools": "tools"}, "columns.tools has no place"),
        ({"prompt": "q", "chosen": "a"}, {"prompt": "prompt", "chosen": "chosen"}, "do not go together"),
        ({"text": "t"}, {"txet": "text"}, "unknown role. Did you mean 'text'"),
        ({"text": "t"}, {"text": "texte"}, "no column 'texte' for columns.text. Did you mean 'text'"),
        ({"text": "t", "prompt": "q"}, {"text": "text", "prompt": "prompt"}, "do not go together"),
        ({"blah": "t", "x": "q"}, {"label": "x"}, "no known layout fits"),
    ],
)
def test_refusals(row: dict[str, Any], columns: dict[str, str] | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        recognise(raw(row), columns)


def test_the_description_names_the_columns() -> None:
    assert (
        recognise(raw({"title": "h", "text": "t", "label": "x"})).description
        == "label `label` of text `title` + `text`"
    )
    assert recognise(raw({"messages": [U]})).description.startswith("prompts")


# Every name that a layout looks at, so that chance meets them.
NAMES = st.sampled_from(
    sorted(
        {*col.TURNS, *col.PROMPTS, *col.RESPONSES, *col.INPUTS, *col.LABELLED_TEXTS, *col.LABELS, *col.NUMBERS}
        | {*col.TEXTS, *col.TOOLS, *col.REFERENCES, *find.QUERIES, *find.PASSAGES, *find.NEGATIVES, *judge.LISTS}
        | {*judge.BEST_FIRST, *judge.RANKS, *judge.SCORES, *judge.COMPARISONS, *judge.WINNERS, *judge.MARGINS}
        | {*choices.CHOICES, *choices.KEYS}
        | {"chosen", "rejected", "response1", "response2", "answer_a", "answer_b", "score_a", "score_b", "confidence"}
        | {"instruction", "instances", "history", "system", "image", "role", "from", "content", "value", "type", "name"}
        | {"weight", "tool_calls", "function", "arguments", "reasoning", "replies", "rank", "tool_call_id", "deleted"}
    )
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=2)
    | st.sampled_from(["user", "assistant", "system", "text", "tool", "function_call", "tie", "a", "1", "0.5", "[{}]",
                       "Human: q\n\nAssistant: a", "tool_use", "thinking", '{"name": "f", "arguments": {}}'])
    | st.sampled_from([[U, A], [U], [A], [1, 2], [1, 2, 1], ["a", "b"], {"role": "prompter", "text": "q", "replies": []}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
ROWS = st.lists(st.dictionaries(NAMES, VALUES, max_size=6), min_size=1, max_size=4)


def each_is_a_record_or_a_drop(layout: Layout, rows: list[dict[str, Any]]) -> None:
    for row in raw(*rows):
        outcomes = layout.to_records(row)
        assert outcomes
        for outcome in outcomes:
            assert outcome.reason if isinstance(outcome, Drop) else outcome.id


@settings(max_examples=300, deadline=None)
@given(ROWS)
def test_whatever_stands_in_a_row_it_becomes_a_record_a_drop_or_one_message(rows: list[dict[str, Any]]) -> None:
    try:
        layout = recognise(raw(*rows), label_separator=";")
    except InputError:
        return
    each_is_a_record_or_a_drop(layout, rows)


@settings(max_examples=150, deadline=None)
@given(ROWS, ROWS)
def test_rows_beyond_the_head_may_be_anything(head: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    try:
        layout = recognise(raw(*head))
    except InputError:
        return
    each_is_a_record_or_a_drop(layout, rows)


@settings(max_examples=150, deadline=None)
@given(ROWS, st.dictionaries(st.sampled_from(ROLES), NAMES, min_size=1, max_size=4))
def test_whatever_columns_are_named(rows: list[dict[str, Any]], columns: dict[str, str]) -> None:
    try:
        layout = recognise(raw(*rows), columns)
    except InputError:
        return
    each_is_a_record_or_a_drop(layout, rows)
