"""Figures of a classifier on rows: accuracy, macro-F1, log loss, calibration error and the confusion matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from affinage.evaluation.intervals import Interval, bootstrap_interval, mean_interval

if TYPE_CHECKING:
    from affinage.evaluation.classification import ClassScores

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 15
RESAMPLES = 500
TINY = 1e-12  # a probability of 0 costs 27.6 nats, not infinitely many


def correct(scores: ClassScores) -> Floats:
    """1 for each row (R,) whose most probable label is the right one, else 0."""
    return np.equal(_predicted(scores), _targets(scores)).astype(np.float64)


def confusion(scores: ClassScores) -> Ints:
    """Counts (C, C): rows are the true labels, columns the predicted ones."""
    classes = len(scores.labels)
    cells = _targets(scores) * classes + _predicted(scores)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def class_metrics(scores: ClassScores, seed: int = 0) -> dict[str, Interval]:
    """Every figure by name, each with a 95 % interval over rows."""
    probabilities_RC = np.asarray(scores.probabilities_RC, np.float64)
    targets_R, predicted_R, hit_R = _targets(scores), _predicted(scores), correct(scores)
    surest_R = probabilities_RC.max(axis=1)
    right_R = np.clip(probabilities_RC[np.arange(len(targets_R)), targets_R], TINY, 1.0)
    classes = len(scores.labels)
    return {
        "accuracy": mean_interval(hit_R),
        "macro_f1": bootstrapped(lambda rows: macro_f1(targets_R[rows], predicted_R[rows], classes), len(hit_R), seed),
        "log_loss": mean_interval(-np.log(right_R), np.ones_like(right_R)),
        "ece": bootstrapped(lambda rows: calibration_error(surest_R[rows], hit_R[rows]), len(hit_R), seed),
    }


def confusion_json(scores: ClassScores) -> dict[str, Any]:
    """`{"labels", "counts"}`; down the true labels, across the predicted ones."""
    return {"labels": list(scores.labels), "counts": confusion(scores).tolist()}


def macro_f1(targets_R: Ints, predicted_R: Ints, classes: int) -> float:
    """Mean F1 over the labels that occur as a target or as a prediction."""
    hits_C = np.bincount(targets_R[targets_R == predicted_R], minlength=classes)
    both_C = np.bincount(targets_R, minlength=classes) + np.bincount(predicted_R, minlength=classes)
    present = both_C > 0
    return float((2 * hits_C[present] / both_C[present]).mean())


def calibration_error(surest_R: Floats, hit_R: Floats) -> float:
    """Expected calibration error over equally wide bins of the highest probability."""
    bins_R = np.minimum((surest_R * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins_R, weights=surest_R - hit_R, minlength=BINS)
    return float(np.abs(gaps).sum() / len(hit_R))


def bootstrapped(figure: Callable[[Ints], float], rows: int, seed: int) -> Interval:
    """The interval of a figure that is no mean: `figure` takes the numbers of the rows that were drawn."""
    rng = np.random.default_rng(seed)
    value = figure(np.arange(rows))
    draws_S = np.array([figure(rng.integers(0, rows, size=rows)) for _ in range(RESAMPLES)])
    known_S = draws_S[np.isfinite(draws_S)]  # a resample of equal rows has no correlation
    return (
        bootstrap_interval(value, known_S) if np.isfinite(value) and len(known_S) else Interval(value, -np.inf, np.inf)
    )


def _targets(scores: ClassScores) -> Ints:
    return np.asarray(scores.targets_R, np.int64)


def _predicted(scores: ClassScores) -> Ints:
    return np.asarray(np.asarray(scores.probabilities_RC).argmax(axis=1), np.int64)
