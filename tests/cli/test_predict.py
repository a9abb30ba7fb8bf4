"""`affinage predict` and `encode`: every row, in order, resumable."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

import affinage
from affinage.cli import predict as predicting
from tests.cli.calling import Call, write_lines


def read(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


TEXTS = ["milk milk", "oven oven", "", "milk milk", "crumb " * 80, "whey"]


@pytest.fixture
def unlabelled(tmp_path: Path) -> Path:
    """Bare texts: one is empty, one is there twice, one is longer than the context."""
    return write_lines(tmp_path / "texts.jsonl", [{"text": text} for text in TEXTS])


def test_each_row_gives_a_line_in_order(call: Call, classifier: Path, unlabelled: Path, tmp_path: Path) -> None:
    result = call("predict", classifier, unlabelled, "--out", "found.jsonl", "--json")
    assert result.code == 0, result.err
    lines = read(tmp_path / "found.jsonl")
    assert len(lines) == len(TEXTS) == result.json["rows"]
    assert lines[2]["error"].startswith("empty-text")
    assert lines[4]["error"].startswith("too-long")
    assert lines[0] == lines[3] != lines[1]
    for line in (lines[0], lines[1], lines[5]):
        assert sum(line["probabilities"].values()) == pytest.approx(1)
        assert line["probability"] == max(line["probabilities"].values()) == line["probabilities"][line["label"]]
    assert result.json["errors"] == {"empty-text": 1, "too-long": 1}
    assert "accuracy" not in result.json
    assert not (tmp_path / "found.jsonl.part").exists()


def test_labels_beside_the_texts_give_an_accuracy(call: Call, classifier: Path, tickets: Path, tmp_path: Path) -> None:
    result = call("predict", classifier, tickets, "--out", "found.csv", "--json")
    rows = list(csv.DictReader((tmp_path / "found.csv").open()))
    truth = [json.loads(line)["label"] for line in tickets.read_text().splitlines()]
    right = sum(row["label"] == label for row, label in zip(rows, truth, strict=True)) / len(truth)
    assert result.json["accuracy"]["value"] == pytest.approx(right)
    assert set(json.loads(rows[0]["probabilities"])) == {"cheese", "bread"}


def test_parquet_holds_the_same_as_json_lines(call: Call, classifier: Path, unlabelled: Path, tmp_path: Path) -> None:
    call("predict", classifier, unlabelled, "--out", "found.jsonl")
    call("predict", classifier, unlabelled, "--out", "found.parquet")
    table = pq.read_table(tmp_path / "found.parquet").to_pylist()
    assert [{k: v for k, v in row.items() if v is not None} for row in table] == read(tmp_path / "found.jsonl")


def test_a_killed_prediction_goes_on(
    call: Call, classifier: Path, tickets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("predict", classifier, tickets, "--out", "whole.jsonl")
    monkeypatch.setitem(predicting.AT_ONCE, "classify", 16)
    labels, blocks = predicting._labels, []

    def dying(model: Any, items: Any, settings: Any) -> Any:
        blocks.append(len(items))
        if len(blocks) == 2:
            raise KeyboardInterrupt
        return labels(model, items, settings)

    monkeypatch.setattr(predicting, "_labels", dying)
    assert call("predict", classifier, tickets, "--out", "parts.jsonl").code == 130
    part = tmp_path / "parts.jsonl.part"
    part.write_bytes(part.read_bytes() + b'{"id": "cut sho')
    result = call("predict", classifier, tickets, "--out", "parts.jsonl")
    assert "going on after 16 of 40 rows" in result.err
    assert sum(blocks[2:]) == 24
    assert (tmp_path / "parts.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_part_of_another_job_is_left_alone(call: Call, classifier: Path, tickets: Path, tmp_path: Path) -> None:
    part = tmp_path / "found.jsonl.part"
    part.write_text('{"job":"another"}\n')
    result = call("predict", classifier, tickets, "--out", "found.jsonl")
    assert (result.code, part.read_text()) == (2, '{"job":"another"}\n')
    assert "left from another job" in result.err


def test_nothing_is_overwritten_unasked(call: Call, classifier: Path, unlabelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.jsonl"
    out.write_text("mine\n")
    assert call("predict", classifier, unlabelled, "--out", out).code == 2
    assert out.read_text() == "mine\n"
    assert call("predict", classifier, unlabelled, "--out", out, "--overwrite").code == 0
    assert len(read(out)) == len(TEXTS)


def test_prompts_are_put_together_as_the_run_learned_them(call: Call, writer: Path, tmp_path: Path) -> None:
    answered = [{"instruction": "Say", "input": str(n), "output": "yes"} for n in range(3)]
    bare = [{key: row[key] for key in ("instruction", "input")} for row in answered]
    write_lines(tmp_path / "answered.jsonl", answered)
    write_lines(tmp_path / "bare.jsonl", bare)
    for name in ("answered", "bare"):
        words = ("--out", f"{name}.out.jsonl", "--max-tokens", 4)
        assert call("predict", writer, f"{name}.jsonl", *words).code == 0
    lines = read(tmp_path / "bare.out.jsonl")
    assert lines == read(tmp_path / "answered.out.jsonl")
    assert [line["prompt"] for line in lines] == ["Say\n\n0", "Say\n\n1", "Say\n\n2"]
    assert all(isinstance(line["completion"], str) for line in lines)


def test_a_prompt_that_does_not_fit_is_one_error(call: Call, writer: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "prompts.jsonl", [{"prompt": "Say 1"}, {"prompt": "long " * 100}, {"prompt": "Say 2"}])
    assert call("predict", writer, "prompts.jsonl", "--out", "found.jsonl", "--max-tokens", 2).code == 0
    lines = read(tmp_path / "found.jsonl")
    assert ["error" in line for line in lines] == [False, True, False]


def test_a_pretrain_run_says_how_likely_each_text_is(
    call: Call, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": f"Number {n} follows number {n - 1} in the book of {n} numbers."} for n in range(30)]
    write_lines(tmp_path / "texts.jsonl", rows)
    settings = ("steps=2", "threads=1", "folds=1", "samples=0")
    sets = [word for setting in settings for word in ("--set", setting)]
    assert call("tune", "texts.jsonl", "--model", base, "--out", "run", *sets).code == 0
    monkeypatch.setitem(predicting.AT_ONCE, "pretrain", 7)
    assert call("predict", "run", "texts.jsonl", "--out", "found.jsonl").code == 0
    lines = read(tmp_path / "found.jsonl")
    assert len(lines) == 30
    alone = affinage.load("run", threads=1).likelihood(rows[29]["text"])[0]
    assert {key: lines[29][key] for key in alone} == pytest.approx(alone, rel=1e-5)
    assert not affinage.load("run", threads=1).talks


def test_vectors_are_the_same_in_every_format(call: Call, base: Path, unlabelled: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "good.jsonl", [{"text": text} for text in ("milk", "oven", "milk")])
    for kind in ("npy", "parquet", "jsonl"):
        result = call("encode", "good.jsonl", "--model", base, "--out", f"v.{kind}", "--json")
        assert (result.code, result.json["rows"], result.json["width"]) == (0, 3, 32), result.err
    vectors = np.load(tmp_path / "v.npy")
    assert np.array_equal(vectors[0], vectors[2])
    assert np.array_equal(vectors, np.array(pq.read_table(tmp_path / "v.parquet")["vector"].to_pylist(), np.float32))
    assert np.array_equal(vectors, np.array([row["vector"] for row in read(tmp_path / "v.jsonl")], np.float32))
    other = call("encode", "good.jsonl", "--model", base, "--out", "w.npy", "--layer", 0, "--pooling", "last")
    assert other.code == 0
    assert not np.allclose(np.load(tmp_path / "w.npy"), vectors)


def test_encode_names_the_row_that_it_cannot_encode(call: Call, base: Path, unlabelled: Path, tmp_path: Path) -> None:
    result = call("encode", unlabelled, "--model", base, "--out", "v.npy")
    assert result.code == 2
    assert "texts.jsonl:3" in result.err
    assert not (tmp_path / "v.npy").exists()
