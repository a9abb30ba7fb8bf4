"""The contract matrix: every objective x every trainable, through the real `tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from affinage.errors import InputError
from affinage.tuning.run import tune
from tests.contract.cells import Cell, keep_contract
from tests.contract.checks import check_same_weights

MOVING = ("last:1", "full", "lora", "dora", "ia3", "prefix")
TABLE = [
    *(("llama", objective, train) for objective in ("pretrain", "sft") for train in MOVING),
    *(("llama", "classify", train) for train in ("head", *MOVING)),
    *(("bert", "classify", train) for train in ("head", "last:1", "full", "lora")),
    *(("llama", "dpo", train) for train in MOVING),
    *(("llama", "reward", train) for train in ("head", *MOVING)),
    *(("bert", "reward", train) for train in ("head", "last:1", "full", "lora")),
]


@pytest.mark.parametrize(("base", "objective", "train"), TABLE)
def test_the_cell_keeps_the_contract(
    base: str, objective: str, train: str, bases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_contract(Cell(objective, train, bases[base], tmp_path), monkeypatch)


ANSWERS = [
    *(("llama", rows, train) for rows in ("multi", "number") for train in ("head", "last:1", "full", "lora")),
    *(("bert", rows, train) for rows in ("multi", "number") for train in ("head", "lora")),
]


@pytest.mark.parametrize(("base", "rows", "train"), ANSWERS)
def test_a_head_that_says_several_labels_or_a_number_keeps_it_too(
    base: str, rows: str, train: str, bases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_contract(Cell("classify", train, bases[base], tmp_path, rows=rows), monkeypatch)


@pytest.mark.parametrize("objective", ["pretrain", "sft", "dpo"])
def test_a_language_objective_has_no_head_to_train(objective: str, bases: dict[str, Path], tmp_path: Path) -> None:
    cell = Cell(objective, "head", bases["llama"], tmp_path)
    with pytest.raises(InputError, match="no head of its own") as refused:
        tune(cell.recipe("refused"))
    assert "last:1" in refused.value.fix
    assert not (tmp_path / "refused").exists()


@pytest.mark.parametrize(("base", "changes"), [("llama", {"adapter": {"lora_dropout": 0.3}}), ("dropping", {})])
def test_a_resumed_run_drops_out_the_same_units(
    base: str, changes: dict[str, Any], bases: dict[str, Path], tmp_path: Path
) -> None:
    cell = Cell("classify", "lora", bases[base], tmp_path, changes | {"head": {"dropout": 0.5}})
    check_same_weights(cell.split(), cell.killed())
