from __future__ import annotations

import pytest

from affinage.reports.plots import smoothed
from affinage.reports.words import duration, interval, number, size, verdict_words


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
