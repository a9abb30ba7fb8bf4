"""Rows to apply a run to, with and without the answers that it learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from affinage.cli.inputs import read_items
from affinage.errors import InputError

U, A = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}


def items(folder: Path, *rows: dict[str, Any], objective: str = "classify", **settings: Any) -> list[tuple[str, Any]]:
    path = folder / "rows.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    settings.setdefault("columns", {})
    found = read_items([str(path)], objective=objective, **settings)
    return [(item.error or item.text or item.prompt.messages[-1].content, item.truth) for item in found]


def test_texts_need_no_label(tmp_path: Path) -> None:
    assert items(tmp_path, {"text": "a", "label": "x"}, {"text": "b"}) == [("a", "x"), ("b", None)]
    assert items(tmp_path, {"text": "a"}, {"text": "b"}) == [("a", None), ("b", None)]
    assert items(tmp_path, {"title": "h", "text": "a"}) == [("h\na", None)]


def test_truths_of_every_kind_are_kept_and_missing_ones_stay_missing(tmp_path: Path) -> None:
    several = [{"text": "a", "labels": ["y", "x"]}, {"text": "b", "labels": None}]
    assert items(tmp_path, *several) == [("a", ("x", "y")), ("b", None)]
    assert items(tmp_path, {"text": "a", "score": 0.5}, {"text": "b", "score": None}) == [("a", 0.5), ("b", None)]
    named = {"columns": {"text": "text", "label": "tags"}, "label_separator": ";"}
    assert items(tmp_path, {"text": "a", "tags": "y;x"}, {"text": "b", "tags": ""}, **named) == [
        ("a", ("x", "y")),
        ("b", None),
    ]
    flags = {"columns": {"text": "text", "labels": "x,y"}}
    assert items(tmp_path, {"text": "a", "x": 1, "y": 0}, {"text": "b"}, **flags) == [("a", ("x",)), ("b", None)]
    assert items(tmp_path, {"text": "b"}, **flags) == [("b", None)]


def test_the_label_that_is_read_decides_whether_there_is_one(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": 1, "label_name": "pos"}, {"text": "b", "label": 0, "label_name": None}]
    assert items(tmp_path, *rows) == [("a", "pos"), ("b", None)]


def test_prompts_of_every_kind(tmp_path: Path) -> None:
    assert items(tmp_path, {"prompt": "q"}, objective="sft") == [("q", None)]
    assert items(tmp_path, {"instruction": "q", "output": "a"}, objective="sft") == [("q", "a")]
    assert items(tmp_path, {"messages": [U, A]}, objective="sft") == [("q", "a")]
    assert items(tmp_path, {"prompt": "q", "chosen": "a", "rejected": "b"}, objective="sft") == [("q", "a")]
    assert items(tmp_path, {"messages": [U, A], "label": True}, objective="sft") == [("q", None)]


def test_a_run_that_learned_in_groups_needs_none(tmp_path: Path) -> None:
    columns = {"text": "text", "label": "label", "group": "thread"}
    assert items(tmp_path, {"text": "a", "label": "x"}, columns=columns) == [("a", "x")]


def test_rows_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the run takes texts, this is a preference row"):
        items(tmp_path, {"prompt": "q", "chosen": "a", "rejected": "b"})
