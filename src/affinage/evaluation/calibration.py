"""Answers that mean what they say: temperature scaling (Guo et al., 2017) of probabilities, intervals round numbers."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affinage.evaluation.class_metrics import calibration_error

Floats = NDArray[np.float64]

COVERED = 0.9  # share of new rows that an interval round a number is to hold
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

    Class numbers (R,) as targets: softmax over the labels. Ones and zeros (R, C): each label on its own.

    A unit normal prior on its logarithm keeps a handful of rows, all of them right, from promising certainty; over
    hundreds of rows it no longer counts.

    Raises:
        ValueError: no row, or logits that are not numbers.
    """
    from scipy.optimize import minimize_scalar

    logits_RC, known = np.asarray(logits, np.float64), np.asarray(targets).astype(np.int64)
    if not len(logits_RC) or not np.isfinite(logits_RC).all():
        raise ValueError("a temperature needs rows with finite logits")

    loss, error = (_binary_loss, _binary_error) if known.ndim == 2 else (_loss, _error)

    def cost(log_temperature: float) -> float:
        return loss(logits_RC / np.exp(log_temperature), known) * len(known) + 0.5 * log_temperature**2

    bound = float(np.log(_LARGEST))
    temperature = float(np.exp(minimize_scalar(cost, bounds=(-bound, bound), method="bounded").x))
    return Calibration(
        temperature=temperature,
        error_before=error(logits_RC, known),
        error_after=error(logits_RC / temperature, known),
        loss_before=loss(logits_RC, known),
        loss_after=loss(logits_RC / temperature, known),
        rows=len(known),
    )


def fit_reach(said: ArrayLike, targets: ArrayLike) -> float:
    """Half the width of an interval that holds 90 % of new rows' numbers, from rows that were not trained on.

    Split conformal: of R absolute errors the ceil(0.9 (R + 1))-th. It promises 90 % on average where new rows are like
    these, whatever the errors look like. 0 with fewer than 9 rows, which can promise nothing.
    """
    errors_R = np.sort(np.abs(np.asarray(said, np.float64) - np.asarray(targets, np.float64)))
    place = math.ceil(COVERED * (len(errors_R) + 1))
    return float(errors_R[place - 1]) if place <= len(errors_R) else 0.0


def _log_softmax(logits_RC: Floats) -> Floats:
    shifted_RC = logits_RC - logits_RC.max(axis=1, keepdims=True)
    return np.asarray(shifted_RC - np.log(np.exp(shifted_RC).sum(axis=1, keepdims=True)), np.float64)


def _loss(logits_RC: Floats, targets_R: NDArray[np.int64]) -> float:
    return float(-_log_softmax(logits_RC)[np.arange(len(targets_R)), targets_R].mean())


def _error(logits_RC: Floats, targets_R: NDArray[np.int64]) -> float:
    probabilities_RC = np.exp(_log_softmax(logits_RC))
    hits_R = (probabilities_RC.argmax(axis=1) == targets_R).astype(np.float64)
    return calibration_error(probabilities_RC.max(axis=1), hits_R)


def _binary_loss(logits_RC: Floats, targets_RC: NDArray[np.int64]) -> float:
    return float((np.logaddexp(0.0, logits_RC) - logits_RC * targets_RC).sum(axis=1).mean())


def _binary_error(logits_RC: Floats, targets_RC: NDArray[np.int64]) -> float:
    probabilities_RC = 0.5 * (1 + np.tanh(logits_RC / 2))
    return calibration_error(probabilities_RC.ravel(), targets_RC.ravel().astype(np.float64))
