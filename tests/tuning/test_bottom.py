"""A run whose lowest blocks are frozen computes them once for each text, and says what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from affinage.models.packed.stack import Stack
from affinage.recipe import make_recipe
from affinage.runs import Run
from affinage.training.reporting import Silent
from affinage.tuning import bottom
from affinage.tuning.run import tune


class Heard(Silent):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AFFINAGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run(decoder: Path, files: dict[str, Path], out: Path, **settings: Any) -> tuple[Run, list[str]]:
    reporter = Heard()
    recipe = {
        "data": str(files["sft"]), "model": str(decoder), "train": "last:1", "epochs": 3, "samples": 0, "folds": 1,
        "held_out": 4, "validation": 4, "patience": 0, "out": str(out), "threads": 1,
    }  # fmt: skip
    return tune(make_recipe(recipe | settings), reporter=reporter), reporter.notes


def test_a_second_run_finds_what_the_first_computed(
    decoder: Path, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    states = Stack.states
    monkeypatch.setattr(Stack, "states", lambda *given: calls.append(1) or states(*given))
    first, notes = run(decoder, files, tmp_path / "one")
    once = len(calls)
    assert once > 0
    assert any("frozen: run once for each text" in note for note in notes)
    assert first.plan["settings"][bottom.KEY]["value"] > 0
    second, _ = run(decoder, files, tmp_path / "two")
    assert len(calls) == once
    assert second.evaluation["after"]["value"] == pytest.approx(first.evaluation["after"]["value"], rel=1e-5)


def test_it_learns_what_a_run_without_learns(
    decoder: Path, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, _ = run(decoder, files, tmp_path / "kept")
    monkeypatch.setattr(bottom, "room", lambda folder: 1)
    whole, notes = run(decoder, files, tmp_path / "whole")
    assert any("computed in each pass" in note for note in notes)
    assert bottom.KEY not in whole.plan["settings"]
    assert whole.evaluation["after"]["value"] == pytest.approx(kept.evaluation["after"]["value"], rel=1e-5)


def test_a_damaged_cache_is_said_and_computed_again(
    decoder: Path, files: dict[str, Path], tmp_path: Path, cache: Path
) -> None:
    first, _ = run(decoder, files, tmp_path / "one")
    for file in cache.glob("*/*.arr"):
        file.write_bytes(file.read_bytes()[:-7])
    second, notes = run(decoder, files, tmp_path / "two")
    assert any("damaged" in note and "computed again" in note for note in notes)
    assert second.evaluation["after"]["value"] == pytest.approx(first.evaluation["after"]["value"], rel=1e-5)


@pytest.mark.parametrize("train", ["full", "lora"])
def test_nothing_is_kept_where_all_blocks_train(
    decoder: Path, files: dict[str, Path], tmp_path: Path, train: str
) -> None:
    made, notes = run(decoder, files, tmp_path / "run", train=train)
    assert bottom.KEY not in made.plan["settings"]
    assert not any("frozen" in note for note in notes)


@pytest.mark.parametrize(("train", "how"), [("dora", "padded"), ("lora", "packed")])
def test_the_path_that_was_taken_is_in_the_plan_and_the_slower_one_is_said(
    decoder: Path, files: dict[str, Path], tmp_path: Path, train: str, how: str
) -> None:
    made, notes = run(decoder, files, tmp_path / "run", train=train)
    assert made.plan["settings"]["passes"]["value"] == how
    assert any("slower, padded passes" in note for note in notes) == (how == "padded")
