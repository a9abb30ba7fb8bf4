"""What a run needs of an objective besides the loss: rows to batches, scores, samples, a comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from affinage.evaluation.comparison import Evaluation
from affinage.models.adapted import AdaptedModel
from affinage.objectives.base import Objective
from affinage.training.reporting import Reporter
from affinage.tuning.fit import Source
from affinage.tuning.prepared import Prepared
from affinage.wiring import OBJECTIVE_TABLE

if TYPE_CHECKING:
    from torch import nn


class Work(Protocol):
    """One objective's part of a run. Record numbers index `prepared.records`; scores are opaque to the caller."""

    objective: Objective

    def heads(self) -> dict[str, nn.Module]:
        """Layers of our own to put on the model."""
        ...

    def before(self, model: AdaptedModel, numbers: Sequence[int]) -> Any | None:
        """Scores of these records on the untouched model, None where a new head has none or there is no record;
        whatever else must be measured before anything moves is measured here too."""
        ...

    def alternatives(self, model: AdaptedModel) -> None:
        """Measure on the untouched model what could be had for less; `compare` names it."""
        ...

    def batches(self, model: AdaptedModel, numbers: Sequence[int]) -> Source:
        """Micro-batches of these records."""
        ...

    def validation_loss(self, model: AdaptedModel) -> float:
        """Loss on the validation rows; the best weights are chosen by it."""
        ...

    def settle(self, model: AdaptedModel) -> None:
        """Last touches after training, such as calibration on validation rows."""
        ...

    def score(self, model: AdaptedModel, numbers: Sequence[int]) -> Any:
        """Scores of these records; lists of scores can be joined by `join`."""
        ...

    def join(self, parts: Sequence[Any]) -> Any:
        """Scores of several folds as one."""
        ...

    def general(self, model: AdaptedModel) -> Any | None:
        """Scores on general text (for forgetting), or None where the model cannot be asked."""
        ...

    def forgotten(self, model: AdaptedModel) -> Callable[[], float] | None:
        """What the model has lost on general text since now, in bits per byte; None where it cannot be asked."""
        ...

    def samples(self, model: AdaptedModel) -> list[str]:
        """Outputs for the report, one a sample prompt."""
        ...

    def sample_prompts(self) -> list[tuple[str, str]]:
        """Prompt and reference of each sample."""
        ...

    def compare(self, before: Any | None, after: Any, general: tuple[Any, Any] | None) -> Evaluation:
        """The honest comparison, baselines included."""
        ...

    def extras(self, model: AdaptedModel) -> dict[str, Any]:
        """Further files of the run: name -> JSON content."""
        ...


def make_work(prepared: Prepared, reporter: Reporter) -> Work:
    """The work of the prepared run's objective."""
    if OBJECTIVE_TABLE[prepared.objective].compares:
        from affinage.tuning.preference import DPOWork
        from affinage.tuning.rewarding import RewardWork

        return DPOWork(prepared, reporter) if prepared.objective == "dpo" else RewardWork(prepared, reporter)
    if prepared.language:
        from affinage.tuning.language import LanguageWork

        return LanguageWork(prepared, reporter)
    from affinage.tuning.classification import ClassificationWork

    return ClassificationWork(prepared, reporter)
