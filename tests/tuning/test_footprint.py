"""What a run says that its training held and left, and what full tuning would have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import affinage as af
from affinage.training.reporting import Silent

QUICK: dict[str, Any] = {"threads": 1, "samples": 0, "steps": 2, "held_out": 4, "validation": 0, "batch_tokens": 128}
COUNTERS = 400  # bytes: an optimizer counts the steps of each tensor
HEADERS = 20_000  # bytes: a file of weights names its tensors


class Told(Silent):
    """Keeps the tables."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, str]] = {}

    def table(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        self.tables[title] = dict(rows)


def _training(data: Path, base: Path, out: Path, **settings: Any) -> dict[str, Any]:
    training: dict[str, Any] = af.tune(data, model=str(base), out=out, **{**QUICK, **settings}).evaluation["training"]
    return training


@pytest.mark.parametrize("settings", [{}, {"optimizer": "muon"}])
def test_what_is_computed_for_full_tuning_is_what_full_tuning_measures(
    settings: dict[str, Any], decoder: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    lora = _training(files["sft"], decoder, tmp_path / "lora", train="lora", rank=2, layers="0", **settings)
    full = _training(files["sft"], decoder, tmp_path / "full", train="full", **settings)
    assert full["full"] is None
    assert lora["full"]["computed"] is True
    assert lora["full"]["trainable_parameters"] == full["trainable_parameters"] == full["parameters"]
    assert lora["full"]["optimizer_bytes"] == pytest.approx(full["optimizer_bytes"], abs=COUNTERS)
    assert lora["full"]["saved_bytes"] == pytest.approx(full["saved_bytes"], abs=HEADERS)
    assert lora["saved_bytes"] == (tmp_path / "lora" / "model" / "adapter_model.safetensors").stat().st_size
    assert 0 < lora["optimizer_bytes"] < full["optimizer_bytes"] / 4
    for one in (lora, full):
        assert one["memory_bytes"] > 0
        assert 0 < one["seconds_per_step"] < one["seconds"]


def test_partial_tuning_with_a_head(decoder: Path, files: dict[str, Path], tmp_path: Path) -> None:
    last = _training(files["classify"], decoder, tmp_path / "last", train="last:1")
    full = _training(files["classify"], decoder, tmp_path / "full", train="full")
    some = _training(files["classify"], decoder, tmp_path / "some", train="full", layers="1")
    assert some["full"] == last["full"]
    assert last["full"]["optimizer_bytes"] == pytest.approx(full["optimizer_bytes"], abs=COUNTERS)
    assert last["saved_bytes"] == pytest.approx(full["saved_bytes"], abs=HEADERS)
    assert last["optimizer_bytes"] == pytest.approx(8 * last["trainable_parameters"], abs=COUNTERS)


def test_the_closing_table_says_it(decoder: Path, files: dict[str, Path], tmp_path: Path) -> None:
    for train, saves in (("lora", True), ("full", False)):
        told = Told()
        run = af.tune(files["sft"], model=str(decoder), train=train, out=tmp_path / train, reporter=told, **QUICK)
        done = told.tables["done"]
        assert " weights (" in done["trained"]
        assert " s a step" in done["trained"]
        assert ("saves" in done) == saves
        assert ("full tuning (computed)" in (run.folder / "README.md").read_text()) == saves
        assert "What training took" in (run.folder / "report.html").read_text()
