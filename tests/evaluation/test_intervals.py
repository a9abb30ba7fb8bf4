"""Coverage and false positives by simulation: an interval that lies is worse than none."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from affinage.evaluation.intervals import Interval, Paired, bootstrap_interval, mean_interval, paired, verdict

Draw = Callable[[np.random.Generator, int], np.ndarray]


@pytest.mark.parametrize("rows", [20, 100])
def test_ratio_of_sums_is_covered(rows: int) -> None:
    rng = np.random.default_rng(0)

    def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = np.ceil(rng.lognormal(3.5, 0.6, number))
        return rng.gamma(9, 1 / 3, number) * tokens, tokens

    values, weights = draw(1_000_000)
    truth, runs = values.sum() / weights.sum(), 400
    intervals = [mean_interval(*draw(rows)) for _ in range(runs)]
    assert sum(i.low <= truth <= i.high for i in intervals) / runs >= 0.93


@pytest.mark.parametrize("rows", [20, 100])
def test_skewed_mean_is_covered(rows: int) -> None:
    rng = np.random.default_rng(1)
    intervals = [mean_interval(rng.exponential(size=rows)) for _ in range(400)]
    assert sum(i.low <= 1 <= i.high for i in intervals) / 400 >= 0.93


def test_share_is_wilsons() -> None:
    values = np.repeat([1.0, 0.0], [9, 11])
    expected = stats.binomtest(9, 20).proportion_ci(method="wilson")
    interval = mean_interval(values)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_all_hit_is_not_certainty() -> None:
    interval = mean_interval([5.0, 7.0, 4.0], [5.0, 7.0, 4.0])
    assert interval.value == interval.high == 1
    assert interval.low < 0.6


@pytest.mark.parametrize(
    ("name", "rows"), [(name, rows) for name in ("normal", "cauchy", "skewed") for rows in (8, 20)]
)
def test_no_false_difference(name: str, rows: int) -> None:
    draws: dict[str, Draw] = {
        "normal": lambda rng, n: rng.normal(size=n),
        "cauchy": lambda rng, n: rng.standard_cauchy(n),
        "skewed": lambda rng, n: rng.exponential(size=n) - 1,
    }
    rng, runs, found = np.random.default_rng(2), 300, 0
    for _ in range(runs):
        tokens = np.ceil(rng.lognormal(3.5, 0.8, rows))
        before = rng.gamma(9, 1 / 3, rows) * tokens
        result = paired(before, before + draws[name](rng, rows) * tokens, tokens)
        found += verdict(result, higher_is_better=False) != "not separable"
    assert found / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize("rows", [10, 40])
def test_no_false_difference_between_classifiers(rows: int) -> None:
    rng, runs, found = np.random.default_rng(3), 500, 0
    for _ in range(runs):
        before, other = rng.random((2, rows)) < 0.6
        after = np.where(rng.random(rows) < 0.3, other, before)
        found += verdict(paired(before, after), higher_is_better=True) != "not separable"
    assert found / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize("rows", [20, 100])
def test_difference_of_shares_is_covered(rows: int) -> None:
    rng, hits = np.random.default_rng(4), 0
    for _ in range(300):
        before = rng.random(rows) < 0.5
        after = np.where(before, rng.random(rows) < 0.9, rng.random(rows) < 0.4)
        difference = paired(before, after).difference
        hits += difference.low <= 0.15 <= difference.high
    assert hits / 300 >= 0.95 - 2 * math.sqrt(0.05 * 0.95 / 300)


def test_real_change_is_found_in_few_rows() -> None:
    rng = np.random.default_rng(5)
    tokens = np.ceil(rng.lognormal(3.5, 0.6, 12))
    before = rng.gamma(9, 1 / 3, 12) * tokens
    after = before - rng.normal(0.4, 0.15, 12) * tokens
    assert verdict(paired(before, after, tokens), higher_is_better=False) == "yes"
    assert verdict(paired(after, before, tokens), higher_is_better=False) == "no"


def test_p_and_interval_agree() -> None:
    rng = np.random.default_rng(6)
    for shift in np.linspace(0, 1.2, 25):
        before = rng.normal(size=15)
        result = paired(before, before + rng.normal(shift, 1, 15))
        if abs(result.p - 0.05) < 0.001:
            continue  # resampled p come in steps
        assert (result.p < 0.05) == (not result.difference.low <= 0 <= result.difference.high)


def test_mcnemar_by_hand() -> None:
    before = np.repeat([0.0, 1.0, 1.0], [7, 1, 12])
    after = np.repeat([1.0, 0.0, 1.0], [7, 1, 12])
    result = paired(before, after)
    assert result.difference.value == pytest.approx(0.3)
    mid_p = 2 * (stats.binom.pmf(0, 8, 0.5) + stats.binom.pmf(1, 8, 0.5) / 2)
    assert result.p == pytest.approx(max(mid_p, 2 * stats.norm.sf(6 / math.sqrt(8))))


def test_five_rows_prove_nothing() -> None:
    result = paired(np.arange(5.0) + 10, np.arange(5.0), np.ones(5))
    assert verdict(result, higher_is_better=False) == "not separable"
    assert result.difference.to_json()["low"] is None


def test_equal_rows_and_wrong_rows() -> None:
    assert paired([1.5, 2.0], [1.5, 2.0]) == Paired(Interval(0.0, 0.0, 0.0), 1.0, 2)
    with pytest.raises(ValueError, match="2 rows before, 3 after"):
        paired([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="no row"):
        mean_interval([1.0], [0.0])


def test_bootstrap_interval_holds_its_value() -> None:
    draws = np.random.default_rng(0).normal(0.7, 0.05, 2000)
    interval = bootstrap_interval(0.7, draws)
    assert (interval.low, interval.high) == pytest.approx((0.602, 0.798), abs=0.01)
    assert bootstrap_interval(0.2, draws).low == 0.2
