"""Labels, pairs, groups and times out of columns, found or named by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from affinage.data.layouts.bad_row import BadRowError
from affinage.data.layouts.columns import Folder
from affinage.data.layouts.known import KNOWN, layout_table
from affinage.data.layouts.times import seconds
from affinage.data.records import Labelled, Pair, Prompt, Text
from affinage.errors import InputError
from tests.data.rows import raw, reason, records, said


def labels(*values: Any, separator: str | None = None) -> list[Any]:
    rows = [{"text": f"t{number}", "label": value} for number, value in enumerate(values)]
    return [made.label if isinstance(made, Labelled) else reason(made) for made in records(*rows, separator=separator)]


def test_the_kind_of_label_is_one_for_a_file() -> None:
    assert labels(1, 2, "x") == ["1", "2", "x"]
    assert labels(1, 2, 0.5) == [1.0, 2.0, 0.5]
    assert labels("1.5", "2", "") == [1.5, 2.0, "empty-label"]
    assert labels(["b", "a"], [], "a", None) == [("a", "b"), (), ("a",), "empty-label"]
    assert labels("x", "y", ["x", "y"]) == ["x", "y", "wrong-type"]
    assert labels(["x"], ["y"], [["z"]]) == [("x",), ("y",), "wrong-type"]


def test_a_long_target_is_no_label() -> None:
    assert records({"text": "t", "target": "spam"}) == [Labelled(text="t", label="spam")]
    assert records({"text": "t", "target": "a summary " * 9}) == [Text(text="t")]


def test_what_comes_after_the_head_must_fit_it() -> None:
    rows = [0.5] * 100 + ["high"]
    assert labels(*rows)[-1] == "wrong-type"
    assert labels(*(["x"] * 100), ["x", "y"])[-1] == "wrong-type"


def test_cells_with_several_labels() -> None:
    assert labels("b; a;", "a", "", separator=";") == [("a", "b"), ("a",), "empty-label"]
    assert labels("b; a", "a") == ["b; a", "a"]


def test_a_column_for_each_label() -> None:
    rows = [{"text": "t", "Toxic": 1, "Very Rude": "0"}, {"text": "u", "Toxic": 0, "Very Rude": True},
            {"text": "v", "Toxic": 0, "Very Rude": None}, {"text": "w", "Toxic": "maybe", "Very Rude": 0}]  # fmt: skip
    made = records(*rows, columns={"labels": "Toxic, Very Rude"})
    assert [row.label for row in made[:3]] == [("Toxic",), ("Very Rude",), ()]
    assert reason(made[3]) == "wrong-type"
    (one,) = records({"text": "t", "tags": ["x"]}, columns={"labels": "tags"})
    assert one.label == ("x",)
    with pytest.raises(InputError, match=r"no column 'rude' for columns\.labels"):
        records(*rows, columns={"labels": "Toxic,Rude"})


PAIRS: list[tuple[dict[str, Any], list[Pair]]] = [
    ({"query": "q", "passage": "p"}, [Pair(query="q", passage="p")]),
    ({"question": "q", "context": "p"}, [Pair(query="q", passage="p")]),
    ({"anchor": "q", "positive": "p", "negative": "n"}, [Pair(query="q", passage="p", negatives=("n",))]),
    ({"query": "q", "pos": ["p", "r"], "neg": ["n", "m"]},
     [Pair(query="q", passage=p, negatives=("n", "m")) for p in ("p", "r")]),
    ({"query": "q", "positive_passages": [{"title": "h", "text": "p"}], "negative_passages": [{"text": "n"}]},
     [Pair(query="q", passage="h\np", negatives=("n",))]),
    ({"sentence1": "q", "sentence2": "p", "score": 0.8}, [Pair(query="q", passage="p", relevance=0.8)]),
    ({"query": "q", "passage": "p", "label": 1}, [Pair(query="q", passage="p", relevance=1.0)]),
]  # fmt: skip


@pytest.mark.parametrize(("row", "expected"), PAIRS)
def test_queries_and_passages(row: dict[str, Any], expected: list[Pair]) -> None:
    assert records(row) == expected


def test_pairs_named_by_hand_and_pairs_that_are_none() -> None:
    row = {"ask": "q", "doc": "p", "no1": "n", "no2": "m", "points": 3}
    columns = {"query": "ask", "passage": "doc", "negatives": "no1,no2", "score": "points"}
    assert records(row, columns=columns) == [Pair(query="q", passage="p", negatives=("n", "m"), relevance=3.0)]
    made = records({"query": "q", "passage": "p"}, {"query": "", "passage": "p"}, {"query": "q", "passage": " "})
    assert [reason(bad) for bad in made[1:]] == ["empty-prompt", "empty-text"]
    with pytest.raises(InputError, match="no known layout"):
        records({"sentence1": "a", "sentence2": "b", "label": "entailment"})


def test_a_prompt_with_a_reference() -> None:
    (text,) = records({"prompt": "q", "ground_truth": "4"})
    (nested,) = records({"prompt": [{"role": "user", "content": "q"}], "reward_model": {"ground_truth": "4"}})
    (named,) = records({"prompt": "q", "key": {"a": 1}}, columns={"prompt": "prompt", "reference": "key"})
    assert all(isinstance(made, Prompt) for made in (text, nested, named))
    assert [made.reference for made in (text, nested, named)] == ["4", "4", '{"a":1}']


CHOICES: list[dict[str, Any]] = [
    {"choices": ["red", "blue"], "answer": 1},
    {"choices": ["red", "blue"], "answer": "B"},
    {"options": ["red", "blue"], "answer": "blue"},
    {"choices": {"text": ["red", "blue"], "label": ["1", "2"]}, "answerKey": "2"},
    {"answers": {"a": "red", "b": "blue"}, "correct_answers": ["b"]},
]


@pytest.mark.parametrize("row", CHOICES)
def test_choices_are_read_before_they_are_answered(row: dict[str, Any]) -> None:
    (chat,) = records({"question": "q", **row})
    assert said(chat.messages) == [("user", "q\n\nA. red\nB. blue"), ("assistant", "B. blue")]


def test_choices_that_are_not_offered() -> None:
    good = {"question": "q", "choices": ["red", "blue"], "answer": [0, 1]}
    made = records(*[good] * 4, {**good, "answer": 2}, {**good, "answer": None}, {**good, "choices": ["red"]})
    assert made[0].reference == "A. red\nB. blue"
    assert [reason(bad) for bad in made[4:]] == ["wrong-type", "empty-response", "wrong-type"]
    (free,) = records({"question": "q", "choices": ["red", "blue"], "answer": "It depends on the light."})
    assert said(free.messages)[0] == ("user", "q")


def test_groups_and_times_are_added_to_what_is_found() -> None:
    row = {"text": "t", "label": "x", "Thread": 7, "sent": "2024-05-31"}
    (made,) = records(row, columns={"group": "thread", "time": "Sent"})
    assert (made, made.group) == (Labelled(text="t", label="x"), "7")
    assert made.time == datetime(2024, 5, 31, tzinfo=UTC).timestamp()
    (bare,) = records(row, columns={"text": "text", "group": "thread"})
    assert (bare, bare.group, bare.time) == (Text(text="t"), "7", None)
    instances = [{"input": "1", "output": "a"}, {"input": "2", "output": "b"}]
    task = {"instruction": "q", "instances": instances, "who": "me"}
    assert [made.group for made in records(task, columns={"group": "who"})] == ["me", "me"]
    made = records(row, {**row, "sent": "soon"}, {**row, "sent": ""}, {**row, "thread": [1]}, columns={"time": "sent"})
    assert reason(made[1]) == "wrong-type"
    assert made[2].time is None


TIMES: list[tuple[Any, datetime | None]] = [
    ("2024-05-31", datetime(2024, 5, 31)),
    ("2024-05-31T10:20:30Z", datetime(2024, 5, 31, 10, 20, 30)),
    ("2024-05-31 10:20", datetime(2024, 5, 31, 10, 20)),
    ("2024-05-31T12:00:00+02:00", datetime(2024, 5, 31, 10)),
    ("20240531", datetime(2024, 5, 31)),
    ("2024/05/31 10:20", datetime(2024, 5, 31, 10, 20)),
    ("31.05.2024", datetime(2024, 5, 31)),
    ("31/05/2024", datetime(2024, 5, 31)),
    ("05/31/2024 10:20", datetime(2024, 5, 31, 10, 20)),
    ("31 May 2024", datetime(2024, 5, 31)),
    ("May 31, 2024", datetime(2024, 5, 31)),
    ("Fri, 31 May 2024 10:20:30 +0000", datetime(2024, 5, 31, 10, 20, 30)),
    ("2024", datetime(2024, 1, 1)),
    (2024, datetime(2024, 1, 1)),
    ("2024-05", datetime(2024, 5, 1)),
    (1717150830, datetime(2024, 5, 31, 10, 20, 30)),
    (1717150830000, datetime(2024, 5, 31, 10, 20, 30)),
    ("1717150830.0", datetime(2024, 5, 31, 10, 20, 30)),
    (date(2024, 5, 31), datetime(2024, 5, 31)),
    (datetime(2024, 5, 31, 10), datetime(2024, 5, 31, 10)),
    ("", None),
    (None, None),
    (float("nan"), None),
]


@pytest.mark.parametrize(("value", "moment"), TIMES)
def test_times(value: Any, moment: datetime | None) -> None:
    assert seconds(value, "t") == (moment.replace(tzinfo=UTC).timestamp() if moment else None)


@pytest.mark.parametrize(
    "value", ["soon", "05/06/2024", "31/31/2024", "2024-13-01", "9" * 70, 1e300, True, [1], b"x", "-"]
)
def test_what_is_no_time(value: Any) -> None:
    with pytest.raises(BadRowError) as caught:
        seconds(value, "t")
    assert caught.value.reason == "wrong-type"


def test_the_table_of_layouts_is_the_one_that_is_used() -> None:
    import affinage.data.layouts.known as module

    assert [name for name, _, _ in layout_table()] == [known.name for known in KNOWN]
    assert all(columns and becomes for _, columns, becomes in layout_table())
    words = (module.__doc__ or "").split("taken.")[1].split("`layout_table")[0]
    named = [name.strip(" .\n") for part in words.split(";") for name in part.replace("\n", " ").split(",")]
    assert named == [known.name for known in KNOWN]


def test_rows_with_folded_names_are_not_copied() -> None:
    fold = Folder()
    plain, other = raw({"text": "t"})[0].values, {"Text A": "t"}
    assert fold(plain) is plain
    assert fold(other) == {"text_a": "t"}
    for number in range(3000):  # names that change with each row are not gathered
        fold({f"name{number}": 1})
    assert len(fold._plain) <= 1024
