from __future__ import annotations

from typing import Any

import pytest

from affinage.reports.plots import smoothed
from affinage.reports.words import cost_rows, duration, interval, number, savings, size, took_words, verdict_words


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (12345, "12,345"), (0.000123456, "0.0001235"), (3.0, "3"), (True, "True"), (["a", 1], "a, 1")],
)
def test_number(value: object, text: str) -> None:
    assert number(value) == text


def test_interval() -> None:
    assert interval({"value": 0.85, "low": 0.8, "high": 0.9}) == "0.850 (0.800 to 0.900)"
    assert interval({"value": 0.85, "low": None, "high": 0.9}, signed=True) == "+0.850"
    assert interval({"value": 1234.5, "low": 1200.0, "high": 1300.0}) == "1,234.5 (1,200.0 to 1,300.0)"
    assert interval(None) == "–"


def test_units_and_verdicts() -> None:
    assert (duration(48), duration(600), duration(3 * 3600)) == ("48 s", "10 min", "3.0 h")
    assert (size(12), size(2048), size(3 * 2**30)) == ("12 B", "2.0 KiB", "3.0 GiB")
    assert verdict_words("yes")[0] == "good"
    assert verdict_words(None) == ("open", "not measured")


def test_smoothing_keeps_ends_and_straight_lines() -> None:
    line = [float(n) for n in range(200)]
    assert smoothed(line) == pytest.approx(line)
    assert smoothed([4.0]) == [4.0]


TRAINING: dict[str, Any] = {
    "trainable_parameters": 1000, "parameters": 20_000, "optimizer_bytes": 8000, "saved_bytes": 4000,
    "memory_bytes": 3 * 2**20, "seconds_per_step": 0.5312,
    "full": {"trainable_parameters": 20_000, "optimizer_bytes": 160_000, "saved_bytes": 80_000, "computed": True},
}  # fmt: skip


def test_what_training_took_and_saved() -> None:
    assert took_words(TRAINING) == "1,000 weights (5 % of the base's), 0.531 s a step, 3.0 MiB more memory than before"
    assert savings(TRAINING) == (
        "optimizer 7.8 KiB instead of 156.2 KiB, on disk 3.9 KiB instead of 78.1 KiB (full tuning, computed)"
    )
    assert "on disk 78.6 KiB either way" in savings({**TRAINING, "saved_bytes": 80_500})
    assert savings({**TRAINING, "full": None}) == ""
    assert (
        took_words({**TRAINING, "seconds_per_step": None, "memory_bytes": None}) == "1,000 weights (5 % of the base's)"
    )


def test_the_costs_of_full_tuning_stand_beside_those_that_were_computed() -> None:
    rows = {label: (ours, full) for label, ours, full in cost_rows(TRAINING)}
    assert rows["weights that train"] == ("1,000", "20,000")
    assert rows["state of the optimizer"] == ("7.8 KiB", "156.2 KiB")
    assert rows["a step, on average"] == ("0.531 s", "–")
    assert all(full == "–" for _, _, full in cost_rows({**TRAINING, "full": None}))
    assert cost_rows({"steps": 3, "peak_bytes": 5}) == []  # a run of an earlier release
