"""What a classifier said about rows, from a model or from cached encodings, and how that grows with training rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from affinage.data.batches import Row, by_length, collate
from affinage.errors import RunError
from affinage.evaluation.class_metrics import TINY, class_metrics, confusion_json, correct
from affinage.evaluation.intervals import Interval, mean_interval
from affinage.models.adapted import AdaptedModel
from affinage.models.encodings import Vectors, evaluating
from affinage.models.heads import ClassifierHead, classifier, pool

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

SHARES = (0.1, 0.25, 0.5, 1.0)
_CHUNK = 8192  # rows of encodings that pass the head at once


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Probabilities (R, C) for rows whose class numbers (R,) are known; `labels` names the C classes.

    Raises:
        RunError: a probability is not a number.
        ValueError: shapes that do not belong together.
    """

    probabilities_RC: Floats
    targets_R: Numbers
    labels: Sequence[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "probabilities_RC", np.asarray(self.probabilities_RC, np.float64))
        object.__setattr__(self, "targets_R", np.asarray(self.targets_R, np.int64))
        rows, classes = self.probabilities_RC.shape
        if rows != len(self.targets_R) or classes != len(self.labels):
            raise ValueError(f"{rows} x {classes} probabilities, {len(self.targets_R)} rows, {len(self.labels)} labels")
        if not np.isfinite(self.probabilities_RC).all():
            raise RunError("the classifier's probabilities are not numbers", fix="try --set dtype=float32")

    def __len__(self) -> int:
        return len(self.targets_R)

    @property
    def predicted_R(self) -> Numbers:  # noqa: N802
        """Class numbers (R,)."""
        return np.asarray(self.probabilities_RC.argmax(axis=1), np.int64)

    @property
    def hits_R(self) -> Floats:  # noqa: N802
        """1 for a right row, 0 for a wrong one (R,); the unit of paired tests."""
        return correct(self)

    @property
    def accuracy(self) -> Interval:
        return mean_interval(self.hits_R)

    @property
    def log_loss(self) -> Interval:
        """Nats per row (alone, without the resampling that `metrics` costs)."""
        right_R = self.probabilities_RC[np.arange(len(self)), self.targets_R]
        return mean_interval(-np.log(np.clip(right_R, TINY, 1.0)), np.ones_like(right_R))

    def metrics(self) -> dict[str, Interval]:
        """Accuracy, macro-F1, log loss (nats per row) and expected calibration error, each with its interval."""
        return class_metrics(self)

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON values."""
        figures = {name: interval.to_json() for name, interval in self.metrics().items()}
        return {"rows": len(self), **figures, "confusion": confusion_json(self)}

    @classmethod
    def join(cls, parts: Sequence[ClassScores]) -> ClassScores:
        """Scores of several folds as one.

        Raises:
            ValueError: no part, or parts with other labels.
        """
        if not parts or any(list(part.labels) != list(parts[0].labels) for part in parts):
            raise ValueError("only scores over the same labels can be joined")
        probabilities_RC = np.concatenate([part.probabilities_RC for part in parts])
        return cls(probabilities_RC, np.concatenate([part.targets_R for part in parts]), parts[0].labels)


def score_rows(model: AdaptedModel, rows: Sequence[Row], *, budget: int, pad_id: int) -> ClassScores:
    """Run texts through model and head. `rows` carry their class number as `target`.

    Args:
        budget: padded tokens in one forward pass.
    """
    logits_RC = row_logits(model, rows, budget=budget, pad_id=pad_id)
    return _scores(classifier(model), logits_RC, [row.target for row in rows])


def score_encodings(model: AdaptedModel, encodings: Vectors, targets: ArrayLike) -> ClassScores:
    """Run cached encodings (R, H) of rows with class numbers (R,) through the head."""
    return _scores(classifier(model), encoding_logits(model, encodings), targets)


def row_logits(model: AdaptedModel, rows: Sequence[Row], *, budget: int, pad_id: int) -> Floats:
    """Logits (R, C) of texts in the rows' order, not yet divided by the temperature."""
    head = classifier(model)
    lengths = [len(row) for row in rows]
    order = sorted(range(len(rows)), key=lambda number: -lengths[number])
    logits_RC = np.zeros((len(rows), len(head.labels)))
    with evaluating(model), torch.inference_mode():
        for numbers in by_length(lengths, order, budget):
            batch = collate([rows[number] for number in numbers], pad_id).to(model.device)
            encodings_BH = pool(model.hidden(batch, head.layer), batch.mask_BT, head.pooling)
            logits_RC[numbers] = head(encodings_BH).double().cpu().numpy()
    return logits_RC


def encoding_logits(model: AdaptedModel, encodings: Vectors) -> Floats:
    """Logits (R, C) of cached encodings, not yet divided by the temperature."""
    head = classifier(model)
    with evaluating(head), torch.inference_mode():
        parts = [
            head(torch.from_numpy(encodings[start : start + _CHUNK]).to(head.mean.device)).double().cpu().numpy()
            for start in range(0, len(encodings), _CHUNK)
        ]
    return np.concatenate([np.zeros((0, len(head.labels))), *parts])


def learning_curve(
    refit: Callable[[Numbers], ArrayLike],
    targets: ArrayLike,
    held_out_targets: ArrayLike,
    labels: Sequence[str],
    *,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Held-out accuracy with growing, nested parts of the training rows.

    Args:
        refit: numbers of training rows (ascending) -> a fresh classifier's probabilities (E, C) on the held-out rows.
        targets: class numbers of the training rows (R,).
        held_out_targets: class numbers of the held-out rows (E,), the same rows each time.

    Returns:
        per share `{"share", "rows", "accuracy": {"value", "low", "high"}}`; shares that come to the same number of
        rows are given once.
    """
    targets_R, held_out = np.asarray(targets, np.int64), np.asarray(held_out_targets, np.int64)
    order = nested_order(targets_R, seed)
    counts = {min(len(order), max(2, round(share * len(order)))): share for share in sorted(shares)}
    points = []
    for rows, share in counts.items():
        scores = ClassScores(np.asarray(refit(np.sort(order[:rows])), np.float64), held_out, labels)
        points.append({"share": share, "rows": rows, "accuracy": scores.accuracy.to_json()})
    return points


def nested_order(targets_R: Numbers, seed: int) -> Numbers:
    """A shuffle of the rows in which every beginning has nearly the classes' own shares."""
    rng = np.random.default_rng(seed)
    place_R = np.empty(len(targets_R))
    for number in np.unique(targets_R):
        rows = rng.permutation(np.flatnonzero(targets_R == number))
        place_R[rows] = (np.arange(len(rows)) + rng.uniform(0, 1)) / len(rows)
    return np.argsort(place_R, kind="stable").astype(np.int64)


def _scores(head: ClassifierHead, logits_RC: Floats, targets: Any) -> ClassScores:
    scaled_RC = torch.from_numpy(logits_RC) / float(head.temperature)
    return ClassScores(torch.softmax(scaled_RC, dim=1).numpy(), np.asarray(targets, np.int64), head.labels)
