"""Figures for rows that may carry several labels: F1 in three ways, exact sets, single decisions, ranking, calibration.

Shapes: R rows, C labels; `targets_RC` and `said_RC` are true or false, `probabilities_RC` between 0 and 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from affinage.evaluation.class_metrics import BINS, TINY, bootstrapped
from affinage.evaluation.intervals import Interval, mean_interval

if TYPE_CHECKING:
    from affinage.evaluation.multilabel import LabelScores

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def label_metrics(scores: LabelScores, seed: int = 0) -> dict[str, Interval]:
    """Every figure by name, each with a 95 % interval over rows."""
    true_RC, said_RC, p_RC = scores.targets_RC, scores.said_RC, scores.probabilities_RC
    rows, classes = true_RC.shape
    both_RC = true_RC & said_RC
    sizes_R = (true_RC.sum(axis=1) + said_RC.sum(axis=1)).astype(np.float64)
    right_RC = np.where(true_RC, p_RC, 1 - p_RC)
    gaps_RB = _gaps(true_RC, p_RC)
    precision = Precisions(true_RC, p_RC)
    return {
        "row_f1": mean_interval(row_f1(true_RC, said_RC)),
        "micro_f1": _share(2.0 * both_RC.sum(axis=1), sizes_R),
        "macro_f1": bootstrapped(
            lambda drawn: _macro_f1(
                both_RC[drawn].sum(axis=0), true_RC[drawn].sum(axis=0) + said_RC[drawn].sum(axis=0)
            ),
            rows,
            seed,
        ),
        "subset_accuracy": mean_interval((true_RC == said_RC).all(axis=1)),
        "hamming_loss": mean_interval((true_RC != said_RC).sum(axis=1).astype(np.float64), np.full(rows, classes)),
        "average_precision": bootstrapped(lambda drawn: precision.mean(np.bincount(drawn, minlength=rows)), rows, seed),
        "log_loss": mean_interval(-np.log(np.clip(right_RC, TINY, 1.0)).sum(axis=1), np.ones(rows)),
        "ece": bootstrapped(
            lambda drawn: float(np.abs(gaps_RB[drawn].sum(axis=0)).sum() / (rows * classes)), rows, seed
        ),
    }


def row_f1(targets_RC: Bools, said_RC: Bools) -> Floats:
    """F1 of each row's labels (R,): 1 where nothing is true and nothing is said."""
    both_R = (targets_RC & said_RC).sum(axis=1)
    sizes_R = targets_RC.sum(axis=1) + said_RC.sum(axis=1)
    return np.where(sizes_R > 0, 2.0 * both_R / np.maximum(sizes_R, 1), 1.0)


def label_table(scores: LabelScores) -> list[dict[str, Any]]:
    """Of each label: rows that carry it, rows that it is said of, precision, recall, F1 and average precision.

    What cannot be told (the recall of a label that no row carries) is None.
    """
    true_C, said_C = scores.targets_RC.sum(axis=0), scores.said_RC.sum(axis=0)
    both_C = (scores.targets_RC & scores.said_RC).sum(axis=0)
    found_C = Precisions(scores.targets_RC, scores.probabilities_RC).of(np.ones(len(scores), np.int64))
    return [
        {
            "label": label,
            "rows": int(true),
            "said": int(said),
            "precision": _ratio(both, said),
            "recall": _ratio(both, true),
            "f1": _ratio(2 * both, true + said),
            "average_precision": None if np.isnan(found) else float(found),
        }
        for label, true, said, both, found in zip(scores.labels, true_C, said_C, both_C, found_C, strict=True)
    ]


class Precisions:
    """Average precision by label, on the rows or on resamples of them; sorted once. Equal probabilities count as one."""

    def __init__(self, targets_RC: Bools, probabilities_RC: Floats) -> None:
        self.order_RC = np.argsort(-probabilities_RC, axis=0, kind="stable")
        self.true_RC = np.take_along_axis(targets_RC, self.order_RC, axis=0)
        sorted_RC = np.take_along_axis(probabilities_RC, self.order_RC, axis=0)
        rows, classes = targets_RC.shape
        last_RC = np.vstack([sorted_RC[1:] != sorted_RC[:-1], np.ones((min(1, rows), classes), bool)])
        places_RC = np.where(last_RC, np.arange(rows)[:, None], rows)
        self.ends_RC = np.minimum.accumulate(places_RC[::-1], axis=0)[::-1]  # where each row's equals end

    def of(self, counts_R: Ints) -> Floats:
        """Per label (C,), each row counted so often; nan for a label that none of them carries."""
        counts_RC = counts_R[self.order_RC]
        hits_RC = counts_RC * self.true_RC
        found_RC, seen_RC = np.cumsum(hits_RC, axis=0), np.cumsum(counts_RC, axis=0)
        at_RC = np.take_along_axis(found_RC, self.ends_RC, 0) / np.maximum(
            np.take_along_axis(seen_RC, self.ends_RC, 0), 1
        )
        total_C = hits_RC.sum(axis=0)
        return np.where(total_C > 0, (hits_RC * at_RC).sum(axis=0) / np.maximum(total_C, 1), np.nan)

    def mean(self, counts_R: Ints) -> float:
        """Over the labels that some row carries; 0 where none does."""
        found_C = self.of(counts_R)
        known = ~np.isnan(found_C)
        return float(found_C[known].mean()) if known.any() else 0.0


def _macro_f1(both_C: Ints, sizes_C: Ints) -> float:
    """Mean F1 over the labels that are true or said of some row."""
    present = sizes_C > 0
    return float((2 * both_C[present] / sizes_C[present]).mean()) if present.any() else 1.0


def _share(values_R: Floats, sizes_R: Floats) -> Interval:
    return mean_interval(values_R, sizes_R) if sizes_R.any() else Interval(1.0, 0.0, 1.0)


def _gaps(targets_RC: Bools, probabilities_RC: Floats) -> Floats:
    """Of each row, promised minus kept by bin of the probability (R, BINS)."""
    rows = len(targets_RC)
    bins_RC = np.minimum((probabilities_RC * BINS).astype(np.int64), BINS - 1)
    cells_RC = np.arange(rows)[:, None] * BINS + bins_RC
    gaps = np.bincount(cells_RC.ravel(), weights=(probabilities_RC - targets_RC).ravel(), minlength=rows * BINS)
    return np.asarray(gaps.reshape(rows, BINS), np.float64)


def _ratio(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None
