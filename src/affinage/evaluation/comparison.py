"""Before against after on the same rows: did the run help, and what would have done it for less?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from affinage.evaluation.intervals import Interval, Verdict, paired, verdict
from affinage.evaluation.language import LanguageScores
from affinage.evaluation.scores import HeadScores

BEFORE = "before"
NAMES = {"row_f1": "F1 per row", "rmse": "root mean squared error"}  # where the key alone says too little
_AGAINST_BEFORE = {
    "yes": "The run helped",
    "no": "The run did not help, it made things worse",
    "not separable": "No difference can be told from chance",
}
_AGAINST_BASELINE = {
    "yes": "The run helped, it beats what costs nearly nothing",
    "no": "The run did not help, a cheap baseline does better",
    "not separable": "The run cannot be told from a cheap baseline",
}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluation.json` says.

    `against` names what `after` was compared with: "before", or the best baseline where a new head had no before.
    `metrics` holds {name: {"before", "after"}} ready for JSON. `folds` is set when the figure is cross-validated.
    `origin` says in the sentence which rows these are.
    """

    rows: int
    metric: str
    higher_is_better: bool
    helped: Verdict
    before: Interval | None
    after: Interval
    difference: Interval
    p: float
    against: str
    metrics: dict[str, Any]
    baselines: dict[str, Interval] = field(default_factory=dict)
    forgetting: dict[str, Any] | None = None
    folds: int | None = None
    origin: str = "held out"

    @property
    def best_baseline(self) -> str | None:
        """Name of the baseline with the best value; the first one listed (the cheaper) where several are equal."""
        if not self.baselines:
            return None
        sign = 1 if self.higher_is_better else -1
        return max(self.baselines, key=lambda name: sign * self.baselines[name].value)

    @property
    def sentence(self) -> str:
        """Whether the run helped, in one sentence for a person."""
        told = _AGAINST_BEFORE if self.against == BEFORE else _AGAINST_BASELINE
        said = told[self.helped]
        name = NAMES.get(self.metric, self.metric.replace("_", " "))
        reference = self.before if self.against == BEFORE else self.baselines[self.against]
        start = "" if self.against == BEFORE else f" of the best baseline ({self.against})"
        span = f"{_number(reference)}{start} -> {_number(self.after)}"
        rows = f"{self.rows:,} rows, " + (f"{self.folds}-fold cross-validation" if self.folds else self.origin)
        return f"{said}: {name} {span} ({_bounds(self.difference)}; {rows}){self._alternative()}."

    def _alternative(self) -> str:
        best = self.best_baseline
        if best is None:
            return "; no cheaper alternative was measured"
        if self.against != BEFORE:
            others = [f"{name} {_number(value)}" for name, value in self.baselines.items() if name != best]
            return f"; also measured: {', '.join(others)}" if others else ""
        value = self.baselines[best]
        wins = (value.value - self.after.value) * (1 if self.higher_is_better else -1) >= 0
        return f"; {'but ' if wins else ''}the best cheap alternative measured, {best}: {_number(value)}"

    def to_json(self) -> dict[str, Any]:
        """The content of `evaluation.json`."""
        return {
            "schema": 1,
            "rows": self.rows,
            "metric": self.metric,
            "higher_is_better": self.higher_is_better,
            "helped": self.helped,
            "sentence": self.sentence,
            "before": self.before.to_json() if self.before else None,
            "after": self.after.to_json(),
            "difference": self.difference.to_json(),
            "p": self.p,
            "against": self.against,
            "folds": self.folds,
            "forgetting": self.forgetting,
            "metrics": self.metrics,
            "baselines": {name: interval.to_json() for name, interval in self.baselines.items()},
        }


def compare_language(
    before: LanguageScores,
    after: LanguageScores,
    *,
    baselines: Mapping[str, LanguageScores | Interval] | None = None,
    forgetting: dict[str, Any] | None = None,
    folds: int | None = None,
) -> Evaluation:
    """Loss in nats per token, before against after.

    Args:
        baselines: other ways to predict the same rows, from the cheapest up: scores, or a loss with its interval.

    Raises:
        ValueError: both did not score the same tokens.
    """
    if not np.array_equal(before.tokens_R, after.tokens_R):
        raise ValueError("before and after were scored on different tokens")
    change = paired(before.nll_R, after.nll_R, after.tokens_R)
    first, second = before.metrics(), after.metrics()
    losses = {name: item if isinstance(item, Interval) else item.loss for name, item in (baselines or {}).items()}
    return Evaluation(
        rows=change.rows,
        metric="loss",
        higher_is_better=False,
        helped=verdict(change, higher_is_better=False),
        before=first["loss"],
        after=second["loss"],
        difference=change.difference,
        p=change.p,
        against=BEFORE,
        metrics=_pairs(first, second),
        baselines=losses,
        forgetting=forgetting,
        folds=folds,
    )


def compare_heads(
    after: HeadScores,
    *,
    baselines: Mapping[str, HeadScores] | None = None,
    before: HeadScores | None = None,
    forgetting: dict[str, Any] | None = None,
    folds: int | None = None,
) -> Evaluation:
    """The headline of a head's answers, against before or, where a new head had no before, the best of the baselines.

    Args:
        baselines: other answers to the same rows, from the cheapest up.

    Raises:
        ValueError: there is neither a before nor a baseline, or the rows differ.
    """
    values = {name: scores.headline for name, scores in (baselines or {}).items()}
    if before is None and not values:
        raise ValueError("a new head is compared with a baseline, and none was measured")
    sign = 1 if after.higher_is_better else -1
    against = BEFORE if before is not None else max(values, key=lambda name: sign * values[name].value)
    change = after.change_from(before if before is not None else (baselines or {})[against])
    first, second = before.metrics() if before is not None else {}, after.metrics()
    details = before.details() if before is not None else {}
    tables = {name: {"before": details.get(name), "after": table} for name, table in after.details().items()}
    return Evaluation(
        rows=change.rows,
        metric=after.metric,
        higher_is_better=after.higher_is_better,
        helped=verdict(change, after.higher_is_better),
        before=first.get(after.metric),
        after=second[after.metric],
        difference=change.difference,
        p=change.p,
        against=against,
        metrics={**_pairs(first, second), **tables},
        baselines=values,
        forgetting=forgetting,
        folds=folds,
    )


def _pairs(before: Mapping[str, Interval], after: Mapping[str, Interval]) -> dict[str, Any]:
    return {
        name: {"before": before[name].to_json() if name in before else None, "after": after[name].to_json()}
        for name in after
    }


def _number(interval: Interval | None) -> str:
    return "-" if interval is None else _digits(interval.value)


def _digits(value: float, sign: str = "") -> str:
    """Three digits after the point; other ways where those say too little or too much (numbers in the data's own unit)."""
    if abs(value) >= 1000:
        return f"{value:{sign},.1f}"
    return f"{value:{sign}.3f}" if abs(value) >= 0.001 or not value else f"{value:{sign}.2g}"


def _bounds(difference: Interval) -> str:
    change = f"difference {_digits(difference.value, '+')}"
    if math.isinf(difference.low) or math.isinf(difference.high):
        return f"{change}, too few rows for an interval"
    return f"{change}, 95 % interval {_digits(difference.low, '+')} to {_digits(difference.high, '+')}"
