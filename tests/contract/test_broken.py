"""The contract has teeth: objectives, trainables and checkpoints that are wrong on purpose do not pass it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affinage.data.batches import Batch
from affinage.errors import RunError
from affinage.models.adapted import AdaptedModel
from affinage.models.trainables import mark
from affinage.objectives.base import Loss, Term
from affinage.objectives.language import LanguageObjective
from affinage.training.checkpoints import load_checkpoint
from tests.contract.cells import Cell, keep_contract


class CountsHalf(LanguageObjective):
    """Divides by half of what it sums over."""

    def weigh(self, batch: Batch) -> dict[str, float]:
        return {"nll": float(batch.weights_BT[: len(batch.weights_BT) // 2, 1:].sum())}


class DividesTooEarly(LanguageObjective):
    """A mean of each micro-batch's mean: short rows weigh more than long ones."""

    def weigh(self, batch: Batch) -> dict[str, float]:
        return {"nll": 1.0}

    def __call__(self, model: AdaptedModel, batch: Batch) -> Loss:
        return Loss((Term("nll", model.weighted_nll(batch) / batch.weights_BT[:, 1:].sum()),))


class HasNoGradient(LanguageObjective):
    """A number that nothing is learned from."""

    def __call__(self, model: AdaptedModel, batch: Batch) -> Loss:
        return Loss((Term("nll", model.weighted_nll(batch).detach()),))


def marks_nothing(model: AdaptedModel, recipe: Any, train: str) -> None:
    mark(model, recipe, train)
    model.requires_grad_(False)


def marks_too_much(model: AdaptedModel, recipe: Any, train: str) -> None:
    mark(model, recipe, train)
    model.plain.get_input_embeddings().weight.requires_grad_(True)


def marks_too_little(model: AdaptedModel, recipe: Any, train: str) -> None:
    mark(model, recipe, train)
    model.blocks[0].requires_grad_(False)


def forgets_the_optimizer(folder: Path, model: AdaptedModel, optimizer: Any) -> Any:
    point = load_checkpoint(folder, model, optimizer)
    optimizer.state.clear()
    return point


@pytest.fixture
def cell(bases: dict[str, Path], tmp_path: Path) -> Callable[[str], Cell]:
    return lambda train: Cell("sft", train, bases["llama"], tmp_path)


@pytest.mark.parametrize(("broken", "check"), [(CountsHalf, "first loss"), (DividesTooEarly, "micro")])
def test_a_wrong_denominator_is_found(
    broken: type[LanguageObjective], check: str, cell: Callable[[str], Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("affinage.tuning.language.make_objective", lambda name, recipe: broken())
    with pytest.raises(AssertionError):
        keep_contract(cell("last:1"), monkeypatch, only=[check])


def test_an_objective_without_a_gradient_is_found(cell: Callable[[str], Cell], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affinage.tuning.language.make_objective", lambda name, recipe: HasNoGradient())
    with pytest.raises(RunError, match="gradient is zero"):
        keep_contract(cell("lora"), monkeypatch)


@pytest.mark.parametrize(("broken", "train"), [(marks_too_much, "last:1"), (marks_too_little, "lora")])
def test_a_trainable_that_marks_others_than_it_declares_is_found(
    broken: Any, train: str, cell: Callable[[str], Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("affinage.tuning.run.mark", broken)
    with pytest.raises(AssertionError):
        keep_contract(cell(train), monkeypatch, only=["declared"])


def test_a_trainable_that_marks_nothing_is_found(cell: Callable[[str], Cell], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affinage.tuning.run.mark", marks_nothing)
    with pytest.raises(RunError, match="nothing"):
        keep_contract(cell("lora"), monkeypatch)


def test_a_checkpoint_that_forgets_the_optimizer_is_found(
    cell: Callable[[str], Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("affinage.tuning.fit.load_checkpoint", forgets_the_optimizer)
    with pytest.raises(AssertionError):
        keep_contract(cell("lora"), monkeypatch, only=["resumed"])
