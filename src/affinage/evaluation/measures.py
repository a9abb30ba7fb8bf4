"""How the answers of each task are scored, calibrated and held against what costs nearly nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from affinage.evaluation import baselines
from affinage.evaluation.calibration import COVERED, fit_reach, fit_temperature
from affinage.evaluation.classification import ClassScores
from affinage.evaluation.multilabel import LabelScores
from affinage.evaluation.regression import NumberScores
from affinage.evaluation.scores import HeadScores
from affinage.evaluation.thresholds import fit_thresholds
from affinage.models.heads import ClassifierHead

Floats = NDArray[np.float64]
Targets = NDArray[Any]

BINS = 10  # strata of numbers


@dataclass(frozen=True, slots=True)
class Sides:
    """What a baseline learns from, and what it is scored on."""

    texts: Sequence[str]
    targets: Targets
    held_out_texts: Sequence[str]
    held_out_targets: Targets
    labels: Sequence[str]
    seed: int


@dataclass(frozen=True, slots=True)
class Measure:
    """One task's way to be measured.

    Attributes:
        scores: a head's logits (R, C) and the targets -> scores.
        calibrate: fits the head's scales on logits and targets of validation rows; what was fitted, as JSON values.
        rivals: baselines by name, from the cheapest up, learned from training texts and targets alone.
        strata: a whole number for each row (R,), by which parts of the rows are kept alike.
    """

    scores: Callable[[ClassifierHead, Floats, Targets], HeadScores]
    calibrate: Callable[[ClassifierHead, Floats, Targets], dict[str, Any]]
    rivals: dict[str, Callable[[Sides], HeadScores]]
    strata: Callable[[Targets], NDArray[np.int64]]


def _answers(head: ClassifierHead, logits_RC: Floats) -> Floats:
    found: Floats = head.answers(torch.from_numpy(logits_RC)).numpy()
    return found


def _class_scores(head: ClassifierHead, logits_RC: Floats, targets: Targets) -> ClassScores:
    return ClassScores(_answers(head, logits_RC), targets, head.labels)


def _label_scores(head: ClassifierHead, logits_RC: Floats, targets: Targets) -> LabelScores:
    p_RC = _answers(head, logits_RC)
    return LabelScores(p_RC, targets, p_RC >= head.scales["thresholds"].cpu().numpy(), head.labels)


def _number_scores(head: ClassifierHead, logits_RC: Floats, targets: Targets) -> NumberScores:
    reach = float(head.scales["reach"]) or np.nan
    return NumberScores(_answers(head, logits_RC)[:, 0], targets, np.full(len(targets), reach))


def _temperature(head: ClassifierHead, logits_RC: Floats, targets: Targets) -> dict[str, Any]:
    found = fit_temperature(logits_RC, targets)
    head.scales["temperature"].fill_(found.temperature)
    return found.to_json()


def _temperature_and_thresholds(head: ClassifierHead, logits_RC: Floats, targets: Targets) -> dict[str, Any]:
    found = _temperature(head, logits_RC, targets)
    limits_C = fit_thresholds(_answers(head, logits_RC), targets > 0.5)
    head.scales["thresholds"].copy_(torch.from_numpy(limits_C))
    return {**found, "thresholds": dict(zip(head.labels, limits_C.tolist(), strict=True))}


def _reach(head: ClassifierHead, logits_RC: Floats, targets: Targets) -> dict[str, Any]:
    reach = fit_reach(_answers(head, logits_RC)[:, 0], targets)
    head.scales["reach"].fill_(reach)
    return {"half_width": reach or None, "covers": COVERED, "rows": len(targets)}


def _rarest_label(targets_RC: Targets) -> NDArray[np.int64]:
    """Of each row the rarest label that it carries, as its number; C for a row without any."""
    carried_RC = np.asarray(targets_RC) > 0.5
    counts_C = carried_RC.sum(axis=0)
    rarity_RC = np.where(carried_RC, counts_C, len(carried_RC) + 1)
    return np.asarray(np.where(carried_RC.any(axis=1), rarity_RC.argmin(axis=1), carried_RC.shape[1]), np.int64)


def _tenths(targets_R: Targets) -> NDArray[np.int64]:
    """Of each row the tenth of all numbers that its own lies in."""
    edges = np.quantile(targets_R, np.arange(1, BINS) / BINS)
    return np.asarray(np.searchsorted(edges, targets_R, side="right"), np.int64)


MEASURES: dict[str, Measure] = {
    "single": Measure(
        _class_scores,
        _temperature,
        {
            "majority class": lambda s: baselines.majority(s.targets, s.held_out_targets, s.labels),
            "tf-idf + logistic regression": lambda s: baselines.tfidf_logistic(
                s.texts, s.targets, s.held_out_texts, s.held_out_targets, s.labels, seed=s.seed
            ),
        },
        lambda targets: np.asarray(targets, np.int64),
    ),
    "multi": Measure(
        _label_scores,
        _temperature_and_thresholds,
        {
            "the most frequent labels": lambda s: baselines.label_frequencies(s.targets, s.held_out_targets, s.labels),
            "tf-idf + logistic regression": lambda s: baselines.tfidf_labels(
                s.texts, s.targets, s.held_out_texts, s.held_out_targets, s.labels, seed=s.seed
            ),
        },
        _rarest_label,
    ),
    "number": Measure(
        _number_scores,
        _reach,
        {
            "mean of the training rows": lambda s: baselines.training_mean(s.targets, s.held_out_targets),
            "tf-idf + ridge regression": lambda s: baselines.tfidf_ridge(
                s.texts, s.targets, s.held_out_texts, s.held_out_targets, seed=s.seed
            ),
        },
        _tenths,
    ),
}
