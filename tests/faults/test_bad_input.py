"""Every mistake a person can make gets one clear message with the way out, before anything is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.cli.calling import Call, Result

GOOD = [{"prompt": f"Say {n}", "response": f"It is {n}."} for n in range(12)]
LABELLED = [{"text": f"number {n}", "label": ("odd", "even")[n % 2]} for n in range(12)]


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def refused(result: Result, code: int, *said: str) -> None:
    """One message, with a way out, without a traceback; `said` all stand in it."""
    assert result.code == code, result.err
    assert [line.startswith("error: ") for line in result.err.splitlines()].count(True) == 1, result.err
    assert "unexpected: " not in result.err, result.err
    assert "Traceback" not in result.err
    message = result.err[result.err.index("error: ") :]
    for part in said:
        assert part in message, result.err


# file content, words after `tune rows.jsonl`, what the message says
MISTAKES: dict[str, tuple[str, list[str], list[str]]] = {
    "unknown key": (lines(GOOD), ["--set", "learnin_rate=1"], ["'learnin_rate'", "Did you mean 'learning_rate'?", "->"]),
    "unknown key in a group": (lines(LABELLED), ["--set", "head.dept=2"], ["'head.dept'", "Did you mean 'depth'?"]),
    "unknown option": (lines(GOOD), ["--objektive", "sft"], ["--objektive", "Did you mean '--objective'?", "->"]),
    "unknown objective": (lines(GOOD), ["--objective", "sfd"], ["objective", "sfd", "'sft'"]),
    "unknown trainable": (lines(GOOD), ["--train", "lorra"], ["'lorra'", "'lora'"]),
    "wrong type of a key": (lines(GOOD), ["--set", "rank=many"], ["rank = 'many'", "integer"]),
    "a value out of range": (lines(GOOD), ["--set", "rank=0"], ["rank = 0", "greater than 0"]),
    "a pair without =": (lines(GOOD), ["--set", "rank"], ["expected key=value", "->"]),
    "malformed JSON": (lines(GOOD[:3]) + '{"prompt": "Say\n', [], ["rows.jsonl:4", "->"]),
    "a list where an object is expected": (lines([*GOOD, [1, 2]]), [], ["rows.jsonl:13", "->"]),
    "an object where text is expected": (lines([*GOOD, {"prompt": "a", "response": {"b": 1}}]), [], ["rows.jsonl:13", "->"]),
    "a missing column": (lines([*GOOD, {"prompt": "a"}]), [], ["rows.jsonl:13", "response", "->"]),
    "an empty file": ("", [], ["rows.jsonl", "->"]),
    "blank lines alone": ("\n\n  \n", [], ["rows.jsonl", "->"]),
    "no known layout": (lines([{"alpha": 1, "beta": 2}] * 4), [], ["rows.jsonl", "alpha", "->"]),
    "two kinds of rows": (lines([{"text": "a"}, {"text": "b", "label": "x"}]), [], ["rows.jsonl", "->"]),
    "a label seen once": (lines([*LABELLED, {"text": "x", "label": "alone"}]), [], ["'alone'", "->"]),
    "one label only": (lines([{"text": f"n {n}", "label": "a"} for n in range(9)]), [], ["at least 2 labels", "'a'"]),
    "all rows empty": (lines([{"text": " "}] * 5), [], ["no row is left", "empty-text 5", "->"]),
    "all answers empty": (lines([{"prompt": "a", "response": ""}] * 5), [], ["no row is left", "empty-response", "->"]),
    "too few rows": (lines(GOOD[:2]), [], ["2 rows are too few", "held_out=0", "->"]),
    "too long rows": (lines([{"prompt": "a", "response": "b" * 400}] * 2 + GOOD), [], ["rows.jsonl:1", "256", "too_long"]),
    "an objective that eats other rows": (lines(LABELLED), ["--objective", "sft"], ["sft", "labelled", "classify"]),
    "no head to train": (lines(GOOD), ["--train", "head"], ["no head of its own", "last:1"]),
    "more blocks than there are": (lines(GOOD), ["--train", "last:9"], ["last:9", "1 to 2"]),
    "a target that matches nothing": (
        lines(GOOD), ["--train", "lora", "--set", "targets=[q_prjo]"], ["'q_prjo'", "Did you mean 'q_proj'?", "->"],
    ),
    "a block that is not there": (lines(GOOD), ["--train", "lora", "--set", "layers=0-7"], ["0-7", "blocks 0 to 1"]),
    "an adapter key without an adapter": (lines(GOOD), ["--train", "full", "--set", "rank=4"], ["rank", "->"]),
    "a context beyond the model's": (lines(GOOD), ["--set", "context=9999"], ["9999", "256"]),
    "a device that is not here": (lines(GOOD), ["--set", "device=tpu"], ["'tpu'", "cpu", "->"]),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_before_anything_is_written(mistake: str, call: Call, base: Path, tmp_path: Path) -> None:
    content, words, said = MISTAKES[mistake]
    (tmp_path / "rows.jsonl").write_text(content)
    result = call("tune", "rows.jsonl", "--model", base, "--out", "run", "--set", "threads=1", *words)
    refused(result, 2, *said)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_row_without_a_learned_token_is_counted_and_the_others_are_learned(
    call: Call, base: Path, tmp_path: Path
) -> None:
    rows = [*GOOD, {"prompt": "long " * 80, "response": "cut away"}]
    (tmp_path / "rows.jsonl").write_text(lines(rows))
    sets = ["too_long=truncate", "folds=1", "steps=1", "samples=0", "threads=1"]
    words = [word for value in sets for word in ("--set", value)]
    result = call("tune", "rows.jsonl", "--model", base, "--out", "run", "--json", *words)
    assert result.code == 0, result.err
    assert result.json["ledger"]["dropped"] == {"no-learned-token": 1}
    dropped = [json.loads(line) for line in (tmp_path / "run" / "dropped.jsonl").read_text().splitlines()]
    assert [row["source"] for row in dropped] == ["rows.jsonl:13"]
    (tmp_path / "rows.jsonl").write_text(lines([rows[-1] | {"response": f"cut {n}"} for n in range(5)]))
    result = call("tune", "rows.jsonl", "--model", base, "--out", "other", *words)
    refused(result, 2, "no row is left", "->")


def _no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _broken_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "lla')


def _unknown_type(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "nosuchmodel"}')


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def _missing_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _other_shape(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"] = torch.zeros(3, 3)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "no config": (_no_config, "no config.json"),
    "broken config": (_broken_config, "model"),
    "unknown type": (_unknown_type, "nosuchmodel"),
    "no weights": (_no_weights, "model.safetensors"),
    "weights cut short": (_cut_weights, "broken"),
    "a missing tensor": (_missing_tensor, "model.layers.1.mlp.up_proj.weight"),
    "a tensor of another shape": (_other_shape, "model.layers.1.mlp.up_proj.weight"),
    "no tokenizer": (_no_tokenizer, "model"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_model_folder_is_told(kind: str, call: Call, base: Path, chats: Path, tmp_path: Path) -> None:
    break_it, said = BROKEN[kind]
    shutil.copytree(base, tmp_path / "model")
    break_it(tmp_path / "model")
    refused(call("tune", chats, "--model", "model", "--out", "run", "--set", "threads=1"), 2, said, "->")


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/model", "nowhere"])
def test_a_missing_model_is_told(name: str, call: Call, chats: Path, tmp_path: Path) -> None:
    refused(call("tune", chats, "--model", name), 2, name, "->")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_of_data_is_told(call: Call, base: Path) -> None:
    refused(call("tune", "tikets.jsonl", "--model", base), 2, "tikets.jsonl", "->")


def test_the_traceback_is_there_for_who_asks(call: Call, base: Path) -> None:
    assert "Traceback" in call("tune", "tikets.jsonl", "--model", base, "--debug").err


def test_json_carries_the_message_too(call: Call, base: Path) -> None:
    result = call("tune", "tikets.jsonl", "--model", base, "--json")
    assert result.json["error"]["exit_code"] == 2
    assert "tikets.jsonl" in result.json["error"]["message"]
