"""From which probability on a label is said: fitted on validation rows, for the F1 that runs are judged by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from affinage.evaluation.label_metrics import row_f1

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

GRID = np.round(np.arange(0.05, 0.96, 0.05), 2)
ENOUGH = 20  # rows that carry a label before it gets a threshold of its own
ROUNDS = 2


def one_threshold(probabilities_RC: Floats, targets_RC: Bools) -> float:
    """The threshold for all labels with the best mean F1 of the rows; 0.5 among equals that hold it."""
    true_RC = np.asarray(targets_RC, bool)
    means = np.array([row_f1(true_RC, probabilities_RC >= limit).mean() for limit in GRID])
    best = GRID[means >= means.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def fit_thresholds(probabilities_RC: Floats, targets_RC: Bools) -> Floats:
    """A threshold for each label (C,).

    All labels start from the one that serves them together; those that stand on enough rows are then moved one after
    the other, each to where the mean F1 of the rows is best.
    """
    true_RC = np.asarray(targets_RC, bool)
    limits_C = np.full(true_RC.shape[1], one_threshold(probabilities_RC, true_RC))
    said_RC = probabilities_RC >= limits_C
    for _ in range(ROUNDS):
        for label in np.flatnonzero(true_RC.sum(axis=0) >= ENOUGH).tolist():
            limits_C[label] = _best_for(label, limits_C[label], probabilities_RC, true_RC, said_RC)
            said_RC[:, label] = probabilities_RC[:, label] >= limits_C[label]
    return limits_C


def best_prefix(shares_C: Floats, targets_RC: Bools) -> Bools:
    """The labels (C,) that, said of every row, have the best mean F1 of the rows: the most frequent so many."""
    true_RC = np.asarray(targets_RC, bool)
    order = np.argsort(-shares_C, kind="stable")
    hits_RC = np.cumsum(true_RC[:, order], axis=1)
    sizes_RC = true_RC.sum(axis=1, keepdims=True) + np.arange(1, len(order) + 1)
    means = [float((true_RC.sum(axis=1) == 0).mean()), *(2 * hits_RC / sizes_RC).mean(axis=0)]
    said_C = np.zeros(len(order), bool)
    said_C[order[: int(np.argmax(means))]] = True
    return said_C


def _best_for(label: int, now: float, probabilities_RC: Floats, true_RC: Bools, said_RC: Bools) -> float:
    """Where this label's threshold is best while the others stay; it stays too where nothing is better."""
    p_R, true_R = probabilities_RC[:, label], true_RC[:, label]
    others = said_RC.copy()
    others[:, label] = False
    hits_R = (others & true_RC).sum(axis=1)
    sizes_R = others.sum(axis=1) + true_RC.sum(axis=1)

    def mean(limit: float) -> float:
        said_R = p_R >= limit
        size_R = sizes_R + said_R
        return float(np.where(size_R > 0, 2 * (hits_R + (said_R & true_R)) / np.maximum(size_R, 1), 1.0).mean())

    best, value = now, mean(now)
    for limit in GRID:
        if (found := mean(float(limit))) > value + 1e-12:
            best, value = float(limit), found
    return best
