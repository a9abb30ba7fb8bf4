"""What a head said about rows that carry a number each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from affinage.errors import RunError
from affinage.evaluation.class_metrics import bootstrapped
from affinage.evaluation.intervals import Interval, Paired, mean_interval, paired
from affinage.evaluation.scores import HeadScores

Floats = NDArray[np.float64]

SHOWN = 400  # points of the plot of true against said


@dataclass(frozen=True, eq=False)
class NumberScores(HeadScores):
    """Numbers said (R,) and true (R,), in the data's own unit; `reach_R` is each answer's half-width (nan: none).

    Judged by the root of the mean squared error, as that is what training minimises and what the mean of the training
    rows is the best constant for. Its paired test is that of the squared errors, row by row.

    Raises:
        RunError: an answer is not a number.
        ValueError: shapes that do not belong together.
    """

    metric: ClassVar[str] = "rmse"
    higher_is_better: ClassVar[bool] = False

    said_R: Floats
    targets_R: Floats
    reach_R: Floats

    def __post_init__(self) -> None:
        for name in ("said_R", "targets_R", "reach_R"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        if not self.said_R.shape == self.targets_R.shape == self.reach_R.shape:
            raise ValueError(f"{len(self.said_R)} answers, {len(self.targets_R)} rows, {len(self.reach_R)} intervals")
        if not np.isfinite(self.said_R).all():
            raise RunError("the head's answers are not numbers", fix="try --set dtype=float32")

    def __len__(self) -> int:
        return len(self.targets_R)

    @property
    def squares_R(self) -> Floats:  # noqa: N802
        """Squared errors (R,); the unit of paired tests."""
        return np.square(self.said_R - self.targets_R)

    @property
    def headline(self) -> Interval:
        return _root(mean_interval(self.squares_R, np.ones(len(self))))

    def change_from(self, before: NumberScores) -> Paired:
        """The test of the squared errors; its interval brought to the data's unit: a - b = (a2 - b2) / (a + b)."""
        found = paired(before.squares_R, self.squares_R, np.ones(len(self)))
        both = before.headline.value + self.headline.value
        return Paired(found.difference.mapped(lambda square: square / both if both else square), found.p, found.rows)

    def metrics(self) -> dict[str, Interval]:
        """RMSE, MAE, R2, both correlations, and the share of rows within the answer's own interval (where it has one)."""
        true_R, said_R = self.targets_R, self.said_R
        rows = len(self)
        found = {
            "rmse": self.headline,
            "mae": mean_interval(np.abs(said_R - true_R), np.ones(rows)),
            "r2": bootstrapped(lambda drawn: _r2(true_R[drawn], said_R[drawn]), rows, 0),
            "pearson": bootstrapped(lambda drawn: _pearson(true_R[drawn], said_R[drawn]), rows, 0),
            "spearman": bootstrapped(lambda drawn: _spearman(true_R[drawn], said_R[drawn]), rows, 0),
        }
        known = np.isfinite(self.reach_R)
        if known.any():
            within_R = np.abs(said_R - true_R)[known] <= self.reach_R[known]
            found["within_interval"] = mean_interval(within_R.astype(np.float64))
        return found

    def details(self) -> dict[str, Any]:
        """Evenly spread rows, so that a plot of thousands stays small."""
        rows = np.unique(np.linspace(0, len(self) - 1, min(SHOWN, len(self))).astype(np.int64))
        return {"points": {"true": self.targets_R[rows].tolist(), "said": self.said_R[rows].tolist()}}

    def said(self) -> list[str]:
        return [
            f"{value:.4g} ({value - reach:.4g} to {value + reach:.4g})" if math.isfinite(reach) else f"{value:.4g}"
            for value, reach in zip(self.said_R, self.reach_R, strict=True)
        ]

    def chosen(self, numbers: Sequence[int]) -> NumberScores:
        index = np.array(numbers, np.int64)
        return NumberScores(self.said_R[index], self.targets_R[index], self.reach_R[index])

    @classmethod
    def join(cls, parts: Sequence[NumberScores]) -> NumberScores:
        if not parts:
            raise ValueError("there is nothing to join")
        said_R, targets_R, reach_R = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("said_R", "targets_R", "reach_R")
        )
        return cls(said_R, targets_R, reach_R)


def _root(squares: Interval) -> Interval:
    return squares.mapped(lambda value: math.sqrt(max(0.0, value)))


def _r2(true_R: Floats, said_R: Floats) -> float:
    spread = float(np.square(true_R - true_R.mean()).sum())
    return 1.0 - float(np.square(true_R - said_R).sum()) / spread if spread else math.nan


def _pearson(one_R: Floats, other_R: Floats) -> float:
    if not np.ptp(one_R) or not np.ptp(other_R):
        return math.nan  # nothing varies that could go together
    one, other = one_R - one_R.mean(), other_R - other_R.mean()
    return float(one @ other) / math.sqrt(float(one @ one) * float(other @ other))


def _spearman(one_R: Floats, other_R: Floats) -> float:
    from scipy.stats import rankdata

    return _pearson(rankdata(one_R), rankdata(other_R))
