"""Whole runs: stacked stages, cross-validation, stopping by hand, the Python face."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import affinage as af
from affinage.errors import InputError
from affinage.training.reporting import Silent

QUICK: dict[str, Any] = {"threads": 1, "samples": 1, "steps": 4, "held_out": 4, "validation": 2, "batch_tokens": 128}


def test_stages_stack(decoder: Path, files: dict[str, Path], tmp_path: Path) -> None:
    first = af.tune(files["pretrain"], model=str(decoder), train="full", out=tmp_path / "texts", **QUICK)
    second = af.tune(files["sft"], model=str(first.folder), train="lora", out=tmp_path / "chats", **QUICK)
    third = af.tune(files["classify"], model=str(second.folder), train="head", out=tmp_path / "labels", **QUICK)
    for run in (first, second, third):
        assert run.finished
        assert run.evaluation["rows"] == 4
        assert run.ledger["read"] == 18
        assert (run.folder / "report.html").stat().st_size > 5000
    mark = json.loads((third.folder / "fingerprint.json").read_text())
    assert mark["base"]["name"] == str(second.folder)
    answers = third.load().classify(["Here we saw rind milk 0", "Here we saw salt moss 7!"])
    assert {answer["label"] for answer in answers} <= {"odd", "even"}
    assert second.load().generate("Tell 3", max_tokens=5, seed=1) == second.load().generate(
        "Tell 3", max_tokens=5, seed=1
    )


def test_few_rows_are_cross_validated(decoder: Path, files: dict[str, Path], tmp_path: Path) -> None:
    settings = {**QUICK, "held_out": None, "validation": None, "folds": 4}
    run = af.tune(files["classify"], model=str(decoder), out=tmp_path / "folds", **settings)
    assert run.evaluation["folds"] == 4
    assert run.evaluation["rows"] == 16  # every row was held out once
    assert "4-fold cross-validation" in run.evaluation["sentence"]
    ledger = run.ledger
    parts = ledger["trained"] + ledger["not_reached"] + ledger["validation"] + ledger["held_out"]
    assert ledger["read"] == parts + sum(ledger["dropped"].values())


def test_language_runs_are_cross_validated_too(decoder: Path, files: dict[str, Path], tmp_path: Path) -> None:
    settings = {**QUICK, "held_out": None, "validation": None, "folds": 2}
    run = af.tune(files["pretrain"], model=str(decoder), train="full", out=tmp_path / "folds", **settings)
    assert run.evaluation["folds"] == 2
    assert run.evaluation["rows"] == 16


class Interrupting(Silent):
    """Presses Ctrl-C when the training is at step 2."""

    @contextmanager
    def stage(self, text: str, total: int) -> Iterator[Any]:
        def advance(done: int, said: str = "") -> None:
            if text == "training" and done == 2:
                os.kill(os.getpid(), signal.SIGINT)

        yield advance


def test_stopped_by_hand_then_resumed(decoder: Path, files: dict[str, Path], tmp_path: Path) -> None:
    settings = {**QUICK, "steps": 6, "model": str(decoder), "train": "full"}
    straight = af.tune(files["sft"], out=tmp_path / "straight", **settings)
    stopped = af.tune(files["sft"], out=tmp_path / "stopped", reporter=Interrupting(), **settings)
    training = stopped.evaluation["training"]
    assert (training["steps"], training["ended"]) == (2, "interrupted")
    assert training["best_step"] in (0, 1, 2)
    assert not stopped.finished
    resumed = af.resume(stopped.folder)
    assert resumed.finished
    assert resumed.evaluation["after"] == straight.evaluation["after"]
    with pytest.raises(InputError, match="is finished"):
        af.resume(stopped.folder)


def test_a_resumed_run_must_meet_the_same_data(decoder: Path, tmp_path: Path, files: dict[str, Path]) -> None:
    data = tmp_path / "own.jsonl"
    data.write_bytes(files["sft"].read_bytes())
    stopped = af.tune(data, out=tmp_path / "run", reporter=Interrupting(), model=str(decoder), train="full", **QUICK)
    data.write_text(data.read_text() + '{"prompt": "New", "response": "row."}\n')
    with pytest.raises(InputError, match="have changed"):
        af.resume(stopped.folder)


def test_nothing_is_overwritten(decoder: Path, files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="already holds files"):
        af.tune(files["sft"], model=str(decoder), out=tmp_path / "taken", **QUICK)
    assert (tmp_path / "taken" / "notes.txt").read_text() == "mine"


def test_examples_in_the_prompt_are_measured_beside(decoder: Path, files: dict[str, Path], tmp_path: Path) -> None:
    run = af.tune(files["sft"], model=str(decoder), train="full", out=tmp_path / "run", **QUICK)
    assert set(run.evaluation["baselines"]) == {"unigram", "3 examples in the prompt"}
    assert run.evaluation["forgetting"]["metric"] == "bits_per_byte"
    samples = json.loads((run.folder / "samples.json").read_text())
    assert len(samples) == 1
    assert samples[0]["reference"]


def test_replay_adds_rows_that_the_ledger_does_not_count(decoder: Path, files: dict[str, Path], tmp_path: Path) -> None:
    plain = af.tune(files["pretrain"], model=str(decoder), train="full", out=tmp_path / "plain", **QUICK)
    settings = {**QUICK, "replay": 0.5, "replay_from": (str(files["sft"]),), "steps": 4}
    with pytest.raises(InputError):
        af.tune(
            files["pretrain"],
            model=str(decoder),
            train="full",
            out=tmp_path / "x",
            **{**settings, "replay_from": ("no.jsonl",)},
        )
    replayed = af.tune(files["pretrain"], model=str(decoder), train="full", out=tmp_path / "mixed", **settings)
    assert replayed.ledger["read"] == plain.ledger["read"]
    assert replayed.evaluation["after"] != plain.evaluation["after"]


def test_a_model_can_be_trained_from_nothing(decoder: Path, files: dict[str, Path], tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(decoder, bare)
    (bare / "model.safetensors").unlink()
    with pytest.raises(InputError, match="cannot load the weights"):
        af.tune(files["pretrain"], model=str(bare), train="full", out=tmp_path / "no", **QUICK)
    settings = {**QUICK, "initialise": "random", "optimizer": "muon", "dtype": "bfloat16"}
    run = af.tune(files["pretrain"], model=str(bare), out=tmp_path / "yes", **settings)
    assert run.plan["train"] == "full"
    assert len(run.load().generate("We saw", raw=True, max_tokens=4)) == 1
