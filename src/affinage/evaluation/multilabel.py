"""What a head said about rows that may carry several labels each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from affinage.errors import RunError
from affinage.evaluation.intervals import Interval, Paired, mean_interval, paired
from affinage.evaluation.label_metrics import label_metrics, label_table, row_f1
from affinage.evaluation.scores import HeadScores

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LabelScores(HeadScores):
    """Probabilities (R, C), the labels that are true (R, C) and those that were said (R, C); `labels` names them.

    Judged by the mean of each row's own F1, as rows are what the paired test exchanges.

    Raises:
        RunError: a probability is not a number.
        ValueError: shapes that do not belong together.
    """

    metric: ClassVar[str] = "row_f1"
    higher_is_better: ClassVar[bool] = True

    probabilities_RC: Floats
    targets_RC: Bools
    said_RC: Bools
    labels: Sequence[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "probabilities_RC", np.asarray(self.probabilities_RC, np.float64))
        object.__setattr__(self, "targets_RC", np.asarray(self.targets_RC, bool))
        object.__setattr__(self, "said_RC", np.asarray(self.said_RC, bool))
        shapes = {self.probabilities_RC.shape, self.targets_RC.shape, self.said_RC.shape}
        if len(shapes) != 1 or self.targets_RC.shape[1] != len(self.labels):
            raise ValueError(f"shapes {sorted(shapes)} for {len(self.labels)} labels")
        if not np.isfinite(self.probabilities_RC).all():
            raise RunError("the head's probabilities are not numbers", fix="try --set dtype=float32")

    def __len__(self) -> int:
        return len(self.targets_RC)

    @property
    def row_f1_R(self) -> Floats:  # noqa: N802
        """F1 of each row's labels (R,); the unit of paired tests."""
        return row_f1(self.targets_RC, self.said_RC)

    @property
    def headline(self) -> Interval:
        return mean_interval(self.row_f1_R)

    def change_from(self, before: LabelScores) -> Paired:
        return paired(before.row_f1_R, self.row_f1_R)

    def metrics(self) -> dict[str, Interval]:
        """F1 (per row, micro, macro), subset accuracy, Hamming loss, average precision, log loss, calibration error."""
        return label_metrics(self)

    def details(self) -> dict[str, Any]:
        return {"labels": label_table(self)}

    def said(self) -> list[str]:
        return [self._words(row) for row in range(len(self))]

    def chosen(self, numbers: Sequence[int]) -> LabelScores:
        index = np.array(numbers, np.int64)
        return LabelScores(self.probabilities_RC[index], self.targets_RC[index], self.said_RC[index], self.labels)

    @classmethod
    def join(cls, parts: Sequence[LabelScores]) -> LabelScores:
        """Scores of several folds as one.

        Raises:
            ValueError: no part, or parts with other labels.
        """
        if not parts or any(list(part.labels) != list(parts[0].labels) for part in parts):
            raise ValueError("only scores over the same labels can be joined")
        probabilities_RC, targets_RC, said_RC = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("probabilities_RC", "targets_RC", "said_RC")
        )
        return cls(probabilities_RC, targets_RC, said_RC, parts[0].labels)

    def _words(self, row: int) -> str:
        p_C = self.probabilities_RC[row]
        order = np.argsort(-p_C, kind="stable")
        named = [f"{self.labels[c]} ({100 * p_C[c]:.0f} %)" for c in order if self.said_RC[row, c]]
        return ", ".join(named) or f"none (likeliest: {self.labels[order[0]]}, {100 * p_C[order[0]]:.0f} %)"
