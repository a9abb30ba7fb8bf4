"""What a classifier said about rows that have one label each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from affinage.errors import RunError
from affinage.evaluation.class_metrics import class_metrics, confusion_json, correct
from affinage.evaluation.intervals import Interval, Paired, mean_interval, paired
from affinage.evaluation.scores import HeadScores

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClassScores(HeadScores):
    """Probabilities (R, C) for rows whose class numbers (R,) are known; `labels` names the C classes.

    Raises:
        RunError: a probability is not a number.
        ValueError: shapes that do not belong together.
    """

    metric: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True

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
    def headline(self) -> Interval:
        return mean_interval(self.hits_R)

    def change_from(self, before: ClassScores) -> Paired:
        return paired(before.hits_R, self.hits_R)

    def metrics(self) -> dict[str, Interval]:
        """Accuracy, macro-F1, log loss (nats per row) and expected calibration error, each with its interval."""
        return class_metrics(self)

    def details(self) -> dict[str, Any]:
        return {"confusion": confusion_json(self)}

    def said(self) -> list[str]:
        shares_R = self.probabilities_RC.max(axis=1)
        return [f"{self.labels[b]} ({100 * p:.0f} %)" for b, p in zip(self.predicted_R, shares_R, strict=True)]

    def chosen(self, numbers: Sequence[int]) -> ClassScores:
        index = np.array(numbers, np.int64)
        return ClassScores(self.probabilities_RC[index], self.targets_R[index], self.labels)

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
