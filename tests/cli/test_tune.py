"""`affinage tune` from the command line."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from affinage.tuning import fit
from tests.cli.calling import Call


def test_json_tells_the_run_its_evaluation_and_its_ledger(call: Call, base: Path, tickets: Path) -> None:
    result = call(
        "tune",
        tickets,
        "--model",
        base,
        "--set",
        "folds=1",
        "--set",
        "threads=1",
        "--set",
        "epochs=2",
        "--out",
        "mine",
        "--json",
    )
    assert result.code == 0, result.err
    assert result.json["run"] == "mine"
    assert result.json["evaluation"]["metric"]
    ledger = result.json["ledger"]
    assert ledger["read"] == 40 == sum(ledger[k] for k in ("trained", "not_reached", "validation", "held_out"))
    assert len(result.out.splitlines()) == 1
    assert "plan" in result.err


def test_dry_run_writes_nothing(call: Call, base: Path, questions: Path, tmp_path: Path) -> None:
    result = call("tune", questions, "--model", base, "--set", "threads=1", "--dry-run", "--json")
    assert result.code == 0, result.err
    assert result.json["plan"]["objective"] == "sft"
    ledger = result.json["ledger"]
    assert ledger["read"] == ledger["train"] + ledger["validation"] + ledger["held_out"]
    assert list(tmp_path.iterdir()) == []


def test_a_first_ctrl_c_scores_what_is_there_and_the_run_goes_on(
    call: Call, base: Path, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("threads=1", "folds=1", "steps=4", "samples=0")
    words = (questions, "--model", base, *(word for setting in settings for word in ("--set", setting)))
    assert call("tune", *words, "--out", "straight").code == 0
    log = fit.append_line

    def interrupting(path: Path, row: dict[str, Any]) -> None:
        log(path, row)
        if row["step"] == 2 and "loss" in row:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(fit, "append_line", interrupting)
        stopped = call("tune", *words, "--out", "halves", "--json")
    assert stopped.code == 130
    assert stopped.json["evaluation"]["training"]["steps"] == 2
    assert "affinage tune --resume halves" in stopped.err
    result = call("tune", "--resume", "halves", "--json")
    assert result.code == 0, result.err
    assert result.json["evaluation"]["training"]["steps"] == 4
    weights = [Path(name, "model", "adapter_model.safetensors").read_bytes() for name in ("straight", "halves")]
    assert weights[0] == weights[1]


def test_a_second_ctrl_c_leaves_with_the_way_back(
    call: Call, base: Path, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaving(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("affinage.tuning.run.load_model", leaving)
    result = call("tune", questions, "--model", base, "--set", "threads=1", "--out", "mine")
    assert result.code == 130
    assert "affinage tune --resume mine" in result.err
    assert "Traceback" not in result.err


def test_a_used_folder_is_refused(call: Call, base: Path, questions: Path) -> None:
    Path("mine").mkdir()
    Path("mine", "notes.txt").write_text("keep me")
    result = call("tune", questions, "--model", base, "--out", "mine")
    assert result.code == 2
    assert "already holds files" in result.err
    assert [path.name for path in Path("mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"prompt": "a", "response": "b"}\n{"prompt": "a", oops}\n', "data.jsonl:2: column"),
        ("", "data.jsonl: the file is empty"),
        (
            '{"prompt": "a", "response": "b"}\n{"prompt": {"a": 1}, "response": "b"}\n',
            "data.jsonl:2: `prompt` must be text",
        ),
        ('{"text": "a", "label": "x"}\n{"text": "b", "label": "x"}\n', "have 1: 'x'"),
        (
            '{"text": "a", "label": "x"}\n{"text": "b", "label": "x"}\n{"text": "c", "label": "y"}\n',
            "one text only: 'y'",
        ),
        ('{"prompt": "a", "response": ""}\n{"prompt": "b", "response": " "}\n', "no row is left"),
    ],
)
def test_bad_data_are_named(content: str, said: str, call: Call, base: Path) -> None:
    Path("data.jsonl").write_text(content)
    result = call("tune", "data.jsonl", "--model", base, "--set", "threads=1")
    assert result.code == 2
    assert said in result.err
    assert "Traceback" not in result.err
    assert not Path("runs").exists()


def test_a_broken_model_folder_is_named(call: Call, questions: Path) -> None:
    Path("model").mkdir()
    Path("model", "config.json").write_text("{")
    for name, said in (("model", "cannot open the model 'model'"), ("./nowhere", "there is no model at './nowhere'")):
        result = call("tune", questions, "--model", name)
        assert result.code == 2
        assert said in result.err
