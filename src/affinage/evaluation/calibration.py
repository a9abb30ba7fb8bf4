"""Probabilities that mean what they say: temperature scaling (Guo et al., 2017)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affinage.evaluation.class_metrics import calibration_error

Floats = NDArray[np.float64]

_LARGEST = 20.0  # temperatures are sought between 1/20 and 20


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted temperature; expected calibration error and log loss (nats per row) before and after, over `rows`."""

    temperature: float
    error_before: float
    error_after: float
    loss_before: float
    loss_after: float
    rows: int

    def to_json(self) -> dict[str, float]:
        return asdict(self)


def fit_temperature(logits: ArrayLike, targets: ArrayLike) -> Calibration:
    """The temperature by which to divide logits (R, C), fitted on rows that were not trained on.

    A unit normal prior on its logarithm keeps a handful of rows, all of them right, from promising certainty; over
    hundreds of rows it no longer counts.

    Raises:
        ValueError: no row, or logits that are not numbers.
    """
    from scipy.optimize import minimize_scalar

    logits_RC, targets_R = np.asarray(logits, np.float64), np.asarray(targets, np.int64)
    if not len(logits_RC) or not np.isfinite(logits_RC).all():
        raise ValueError("a temperature needs rows with finite logits")

    def cost(log_temperature: float) -> float:
        return _loss(logits_RC / np.exp(log_temperature), targets_R) * len(targets_R) + 0.5 * log_temperature**2

    bound = float(np.log(_LARGEST))
    temperature = float(np.exp(minimize_scalar(cost, bounds=(-bound, bound), method="bounded").x))
    return Calibration(
        temperature=temperature,
        error_before=_error(logits_RC, targets_R),
        error_after=_error(logits_RC / temperature, targets_R),
        loss_before=_loss(logits_RC, targets_R),
        loss_after=_loss(logits_RC / temperature, targets_R),
        rows=len(targets_R),
    )


def _log_softmax(logits_RC: Floats) -> Floats:
    shifted_RC = logits_RC - logits_RC.max(axis=1, keepdims=True)
    return np.asarray(shifted_RC - np.log(np.exp(shifted_RC).sum(axis=1, keepdims=True)), np.float64)


def _loss(logits_RC: Floats, targets_R: NDArray[np.int64]) -> float:
    return float(-_log_softmax(logits_RC)[np.arange(len(targets_R)), targets_R].mean())


def _error(logits_RC: Floats, targets_R: NDArray[np.int64]) -> float:
    probabilities_RC = np.exp(_log_softmax(logits_RC))
    hits_R = (probabilities_RC.argmax(axis=1) == targets_R).astype(np.float64)
    return calibration_error(probabilities_RC.max(axis=1), hits_R)
