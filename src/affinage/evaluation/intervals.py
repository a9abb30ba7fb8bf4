"""Intervals and paired tests over rows, made to stay honest with few rows and heavy tails.

The sampling unit is the row, never the token: tokens of one row are not independent. A figure is a ratio of sums over
rows, sum(values) / sum(weights). Where several valid methods exist their hull is taken (and the largest p), so that
none of them can call a difference real alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

Verdict = Literal["yes", "no", "not separable"]
Floats = NDArray[np.float64]

LEVEL = 0.95
ALPHA = 1 - LEVEL
RESAMPLES = 1999
SIGNS = 4096  # all sign patterns of 12 rows; beyond that this many random ones
FEW = 30  # rows below which a skewed difference fools every test of a mean, so the bootstrap-t is asked for more
STRICT = 0.02  # its two-sided level there
PLENTY = 500  # rows from which on the plain t interval is as good as any


@dataclass(frozen=True, slots=True)
class Interval:
    """A measured value with its 95 % interval; a bound that the rows cannot give is infinite (null in JSON)."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        """`{"value", "low", "high"}`, with null for what is not finite."""
        pairs = {"value": self.value, "low": self.low, "high": self.high}
        return {name: float(number) if math.isfinite(number) else None for name, number in pairs.items()}

    def mapped(self, function: Any) -> Interval:
        """The interval of an increasing function of the value."""
        return Interval(function(self.value), function(self.low), function(self.high))

    def hull(self, other: Interval) -> Interval:
        """The same value with the wider bounds of both."""
        return Interval(self.value, min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True, slots=True)
class Paired:
    """After minus before on the same rows, and the two-sided p of "no difference"."""

    difference: Interval
    p: float
    rows: int


def mean_interval(values_R: ArrayLike, weights_R: ArrayLike | None = None, seed: int = 0) -> Interval:
    """sum(values) / sum(weights) with its 95 % interval; without weights, the mean.

    Shares of rows get Wilson's interval; all else the hull of the delta method with t quantiles and the bootstrap-t.

    Raises:
        ValueError: no row, or rows whose weights are all 0.
    """
    values, weights = _rows(values_R, weights_R)
    if weights_R is None and _is_binary(values):
        return _wilson(float(values.sum()), len(values))
    ratio = float(values.sum() / weights.sum())
    if ((values >= 0) & (values <= weights)).all() and ratio in (0.0, 1.0):
        return _wilson(ratio * len(values), len(values))  # all or none of counted units: rows alone bound the rest
    return _delta(values, weights)[0].hull(_bootstrap_t(values, weights, seed)[0])


def paired(before_R: ArrayLike, after_R: ArrayLike, weights_R: ArrayLike | None = None, seed: int = 0) -> Paired:
    """After minus before, over the same rows in the same order.

    Right-or-wrong rows (0 and 1, no weights): mid-p McNemar with Tango's score interval. Sums with weights (such as
    nats over tokens): sign flips, bootstrap-t and delta method together. Fewer than 6 rows bound nothing there.

    Raises:
        ValueError: the rows differ in number, or there is none.
    """
    before, after = np.asarray(before_R, np.float64), np.asarray(after_R, np.float64)
    if before.shape != after.shape:
        raise ValueError(f"{len(before)} rows before, {len(after)} after")
    if weights_R is None and _is_binary(before) and _is_binary(after):
        return _mcnemar(before, after)
    values, weights = _rows(after - before, weights_R)
    if not values.any():
        return Paired(Interval(0.0, 0.0, 0.0), 1.0, len(values))
    strict = _bootstrap_t(values, weights, seed, STRICT if len(values) < FEW else ALPHA)
    answers = [_delta(values, weights), strict, _sign_flips(values, weights, seed)]
    interval = answers[0][0].hull(answers[1][0]).hull(answers[2][0])
    return Paired(interval, max(p for _, p in answers), len(values))


def verdict(result: Paired, higher_is_better: bool) -> Verdict:
    """Whether after is better than before: yes, no (it is worse), or not separable on these rows."""
    low, high = result.difference.low, result.difference.high
    if result.p >= ALPHA or low <= 0 <= high:
        return "not separable"
    return "yes" if (low > 0) == higher_is_better else "no"


def bootstrap_interval(value: float, draws_S: Floats) -> Interval:
    """Bias-corrected percentile interval of a figure that is no mean (macro-F1, calibration error).

    Args:
        draws_S: the figure on S resamples of the rows.
    """
    below = float(np.clip((draws_S < value).mean() + (draws_S == value).mean() / 2, 1e-3, 1 - 1e-3))
    shift = 2 * float(stats.norm.ppf(below))
    edges = stats.norm.cdf(shift + stats.norm.ppf([ALPHA / 2, 1 - ALPHA / 2]))
    low, high = np.quantile(draws_S, edges)
    return Interval(value, min(float(low), value), max(float(high), value))


def _rows(values_R: ArrayLike, weights_R: ArrayLike | None) -> tuple[Floats, Floats]:
    values = np.asarray(values_R, np.float64)
    weights = np.ones_like(values) if weights_R is None else np.asarray(weights_R, np.float64)
    if values.shape != weights.shape:
        raise ValueError(f"{len(values)} values, {len(weights)} weights")
    kept = weights > 0
    if not kept.any():
        raise ValueError("no row to measure on")
    return values[kept], weights[kept]


def _is_binary(values: Floats) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())


def _wilson(hits: float, rows: int) -> Interval:
    z = float(stats.norm.ppf(1 - ALPHA / 2))
    share = hits / rows
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return Interval(share, min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)))


def _delta(values: Floats, weights: Floats) -> tuple[Interval, float]:
    rows, total = len(values), float(weights.sum())
    ratio = float(values.sum() / total)
    if rows < 2:
        return Interval(ratio, -math.inf, math.inf), 1.0
    error = math.sqrt(rows / (rows - 1) * float(np.square(values - ratio * weights).sum())) / total
    half = float(stats.t.ppf(1 - ALPHA / 2, rows - 1)) * error
    p = 2 * float(stats.t.sf(abs(ratio) / error, rows - 1)) if error else float(ratio == 0)
    return Interval(ratio, ratio - half, ratio + half), p


def _bootstrap_t(values: Floats, weights: Floats, seed: int, alpha: float = ALPHA) -> tuple[Interval, float]:
    """The t statistic's own distribution by resampling rows: it follows skewness, which t quantiles do not.

    With a stricter `alpha` the interval is that much wider and the p scaled, so that 5 % stays the one threshold.
    """
    rows = len(values)
    interval, p = _delta(values, weights)
    ratio, residuals = interval.value, values - interval.value * weights
    constant = np.abs(residuals).max() <= 1e-12 * np.abs(values).max()  # but for rounding
    if rows < 8 or rows > PLENTY or constant:
        return interval, p
    counts_SR = _resampled_counts(rows, seed)
    shift_S = (counts_SR @ residuals) / (counts_SR @ weights)  # resampled ratio - ratio
    squares_S = counts_SR @ residuals**2 - 2 * shift_S * (counts_SR @ (residuals * weights))
    squares_S += shift_S**2 * (counts_SR @ weights**2)
    errors_S = np.sqrt(rows / (rows - 1) * np.maximum(squares_S, 0)) / (counts_SR @ weights)
    error = math.sqrt(rows / (rows - 1) * float((residuals**2).sum())) / float(weights.sum())
    alive = errors_S > 1e-9 * error
    t_S = shift_S[alive] / errors_S[alive]
    low, high = np.quantile(t_S, [1 - alpha / 2, alpha / 2])
    tail = min(int((t_S >= ratio / error).sum()), int((t_S <= ratio / error).sum()))
    p = min(1.0, ALPHA / alpha * 2 * (tail + 1) / (len(t_S) + 1))
    return Interval(ratio, ratio - float(low) * error, ratio - float(high) * error), p


def _resampled_counts(rows: int, seed: int) -> Floats:
    """How often each resample (S, R) holds each row."""
    drawn_SR = np.random.default_rng(seed).integers(0, rows, size=(RESAMPLES, rows), dtype=np.int32)
    cells = drawn_SR + np.arange(RESAMPLES, dtype=np.int32)[:, None] * rows
    return np.bincount(cells.ravel(), minlength=RESAMPLES * rows).reshape(RESAMPLES, rows).astype(np.float64)


def _sign_flips(values: Floats, weights: Floats, seed: int) -> tuple[Interval, float]:
    """The test of "before and after could be exchanged", exact for symmetric differences, turned into an interval.

    For a pattern of signs, the differences theta at which its flipped sum is at least as extreme as the real one form
    an interval between the ratios of its two halves; the p of theta is the share of patterns whose interval holds it.
    """
    rows = len(values)
    if rows > PLENTY:
        return _delta(values, weights)
    if 2**rows <= SIGNS:
        signs = 1.0 - 2.0 * ((np.arange(2**rows)[:, None] >> np.arange(rows)) & 1)
    else:
        signs = 1.0 - 2.0 * np.random.default_rng(seed).integers(0, 2, size=(SIGNS, rows), dtype=np.int8)
        signs[0] = 1.0
    one_S, other_S = (1 + signs) / 2, (1 - signs) / 2
    whole_S = (other_S.sum(1) == 0) | (one_S.sum(1) == 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        halves = np.stack([(part @ values) / (part @ weights) for part in (one_S, other_S)])
    low_S = np.where(whole_S, -np.inf, halves.min(axis=0))
    high_S = np.where(whole_S, np.inf, halves.max(axis=0))
    p = float(((low_S <= 0) & (high_S >= 0)).mean())
    place = int(ALPHA * len(signs))
    ratio = float(values.sum() / weights.sum())
    return Interval(ratio, float(np.sort(low_S)[place]), float(-np.sort(-high_S)[place])), p


def _mcnemar(before: Floats, after: Floats) -> Paired:
    rows = len(before)
    won, lost = int(((before == 0) & (after == 1)).sum()), int(((before == 1) & (after == 0)).sum())
    if not rows:
        raise ValueError("no row to measure on")
    value, moved = (won - lost) / rows, won + lost
    low, high = _tango(won, lost, rows)
    p = 1.0
    if moved:
        few = min(won, lost)
        middle = stats.binom.cdf(few - 1, moved, 0.5) + stats.binom.pmf(few, moved, 0.5) / 2
        p = max(min(1.0, 2 * float(middle)), 2 * float(stats.norm.sf(abs(won - lost) / math.sqrt(moved))))
        shares = _mid_p_share(won, moved)
        low, high = (
            edge(bound, (2 * share - 1) * moved / rows)
            for edge, bound, share in zip((min, max), (low, high), shares, strict=True)
        )
    return Paired(Interval(value, min(low, value), max(high, value)), p, rows)


def _mid_p_share(hits: int, trials: int) -> tuple[float, float]:
    """Mid-p interval of a binomial share."""

    def above(share: float) -> float:
        return float(stats.binom.sf(hits, trials, share) + stats.binom.pmf(hits, trials, share) / 2)

    low = 0.0 if hits == 0 else optimize.brentq(lambda share: above(share) - ALPHA / 2, 0, 1)
    high = 1.0 if hits == trials else optimize.brentq(lambda share: above(share) - 1 + ALPHA / 2, 0, 1)
    return float(low), float(high)


def _tango(won: int, lost: int, rows: int) -> tuple[float, float]:
    """Tango's score interval of the difference of two paired shares."""
    z = float(stats.norm.ppf(1 - ALPHA / 2))

    def score(delta: float) -> float:
        linear = -won - lost + (2 * rows - won + lost) * delta
        root = math.sqrt(max(0.0, linear**2 + 8 * rows * lost * delta * (1 - delta)))
        spread = rows * (2 * (root - linear) / (4 * rows) + delta * (1 - delta))
        distance = won - lost - rows * delta
        return distance / math.sqrt(spread) if spread > 1e-12 else math.copysign(math.inf, distance)

    value, tip = (won - lost) / rows, 1 - 1e-9
    low, high = -1.0, 1.0
    if value > -tip and score(-tip) > z:
        low = _bisect(lambda delta: score(delta) > z, -tip, value)
    if value < tip and score(tip) < -z:
        high = _bisect(lambda delta: score(delta) > -z, value, tip)
    return low, high


def _bisect(holds: Any, left: float, right: float) -> float:
    """Where a condition that holds on the left stops holding."""
    for _ in range(60):
        middle = (left + right) / 2
        left, right = (middle, right) if holds(middle) else (left, middle)
    return (left + right) / 2
