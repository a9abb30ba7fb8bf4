"""The plan: the recipe with every derived value filled in, each with its reason in a few words."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from affinage.data.batches import by_length
from affinage.device import Machine
from affinage.models.heads import head_defaults
from affinage.planning.estimator import Estimate, estimate
from affinage.planning.rates import learning_rate
from affinage.planning.replay import replay_share
from affinage.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Facts:
    """What planning may know: all of it is cheap, none of it needs the weights.

    `lengths` are of the training rows, or of a sample of them; `scale`: training rows for each length.
    """

    kind: str
    objective: str
    says: str
    train: str
    train_reason: str
    lengths: Sequence[int]
    learned_tokens: int
    train_rows: int
    held_out_rows: int
    validation_rows: int
    rows: int
    parameters: int
    trainable_parameters: int
    width: int
    vocabulary: int
    blocks: int
    model_context: int
    classes: int
    random_start: bool
    machine: Machine
    scale: float = 1.0
    task: str = ""
    task_reason: str = ""

    @property
    def tokens(self) -> int:
        """Training tokens, one pass."""
        return round(sum(self.lengths) * self.scale)


@dataclass(slots=True)
class Plan:
    """Settings with reasons, and what the run will cost. `settings[key]` is `(value, reason)`."""

    facts: Facts
    settings: dict[str, tuple[Any, str]] = field(default_factory=dict)
    cost: Estimate = field(default_factory=lambda: Estimate(0.0, 0))

    @property
    def passes(self) -> float:
        """Times that the training tokens will be seen, at most."""
        if _frozen(self.facts):
            return float(self["epochs"])
        tokens = max(1, self.facts.tokens)
        return float(min(self["epochs"], max(1, self["steps"]) * self["batch_tokens"] / tokens))

    def __getitem__(self, key: str) -> Any:
        return self.settings[key][0]

    def to_json(self) -> dict[str, Any]:
        """The content of plan.json."""
        facts = self.facts
        return {
            "settings": {key: {"value": value, "reason": reason} for key, (value, reason) in self.settings.items()},
            "data_kind": facts.kind,
            "objective": facts.objective,
            "train": facts.train,
            "trainable_parameters": facts.trainable_parameters,
            "parameters": facts.parameters,
            "expected_seconds": round(self.cost.seconds, 1),
            "expected_peak_bytes": self.cost.peak_bytes,
        }

    def lines(self, model: str, out: str) -> list[tuple[str, str]]:
        """Six lines for people: (heading, text)."""
        facts = self.facts
        share = 100 * facts.trainable_parameters / max(1, facts.parameters)
        about = "about " if facts.scale != 1 else ""
        rows = f"{about}{facts.train_rows:,} train + {facts.validation_rows:,} validation + {facts.held_out_rows:,} held out"
        learned = (
            f"{facts.learned_tokens:,} learned from"
            if facts.learned_tokens
            else _ASKED[facts.task].format(facts.classes)
        )
        unit = f"{self['batch_rows']} encodings" if _frozen(facts) else f"{self['batch_tokens']:,} tokens"
        moving = f"{facts.trainable_parameters:,} of {facts.parameters:,} weights move ({share:.3g} %)"
        place = f"{facts.machine.device} ({facts.machine.threads} threads)"
        return [
            ("learn", f"{facts.objective} ({facts.says}) on {model}"),
            ("data", f"{about}{facts.rows:,} {facts.kind} rows: {rows}; {about}{facts.tokens:,} tokens, {learned}"),
            ("train", f"{facts.train}: {moving}"),
            ("steps", f"{self['steps']:,} of {unit} ({self.passes:,.3g} passes), rate {self['learning_rate']:.2g}"),
            ("cost", f"about {duration(self.cost.seconds)}, {self.cost.peak_bytes / 2**30:.1f} GiB on {place}"),
            ("out", out),
        ]

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(key)}</th><td>{html.escape(str(value))}</td>"
            f"<td>{html.escape(reason)}</td></tr>"
            for key, (value, reason) in self.settings.items()
        )
        return f"<table>{rows}</table>"


def make_plan(recipe: Recipe, facts: Facts) -> Plan:
    """Derive what the recipe leaves open."""
    plan = Plan(facts)
    settings = plan.settings
    settings["objective"] = _given(recipe.objective, facts.objective, f"the data are {facts.kind} rows")
    settings["train"] = _given(recipe.train, facts.train, facts.train_reason)
    settings["replay"] = _given(recipe.replay, *replay_share(recipe))
    if facts.task:
        settings["head.task"] = _given(recipe.head.task, facts.task, facts.task_reason)
    settings["context"] = _given(recipe.context, facts.model_context, "the model's own limit")
    settings["epochs"] = _epochs(recipe, facts)
    settings["batch_tokens"] = _given(recipe.batch_tokens, *_batch_tokens(facts, settings["epochs"][0]))
    settings["micro_tokens"] = _given(recipe.micro_tokens, *_micro_tokens(facts, settings["batch_tokens"][0]))
    if _frozen(facts):
        settings["batch_rows"] = (_head(facts)["batch_rows"], "encodings in one step")
    settings["steps"] = _steps(recipe, facts, settings)
    steps = settings["steps"][0]
    if recipe.steps is not None and recipe.epochs is None:
        passes = steps * settings["batch_tokens"][0] / max(1, facts.tokens)
        settings["epochs"] = (float(math.ceil(1.1 * passes) + 1), f"a ceiling: {steps} steps are {passes:.2g} passes")
    settings["learning_rate"] = _given(recipe.learning_rate, *_learning_rate(facts, steps))
    settings["evaluate_every"] = _given(recipe.evaluate_every, *_evaluate_every(facts, steps, settings["epochs"][0]))
    every = settings["evaluate_every"][0]
    plan.cost = estimate(
        facts,
        micro_tokens=settings["micro_tokens"][0],
        tokens=min(steps * settings["batch_tokens"][0], _all_tokens(facts, settings)),
    )
    often = max(every, math.ceil(steps * 60 / max(60.0, plan.cost.seconds)))
    settings["checkpoint_every"] = _given(recipe.checkpoint_every, often, "about once a minute, with an evaluation")
    for key, value in (
        ("device", facts.machine.device),
        ("dtype", facts.machine.dtype),
        ("threads", facts.machine.threads),
    ):
        settings[key] = _given(getattr(recipe, key), value, _PLACE[key])
    settings["products"] = (facts.machine.products, "the faster library for matrix products here, measured")
    return plan


def _all_tokens(facts: Facts, settings: dict[str, tuple[Any, str]]) -> int:
    return int(facts.tokens * settings["epochs"][0])


_ASKED = {"": "", "single": "{} labels", "multi": "{} labels, several a row", "number": "a number a row"}
_PLACE = {
    "device": "the fastest device here",
    "dtype": "exact on a CPU, fast on a GPU",
    "threads": "all that this process may use",
}


def duration(seconds: float) -> str:
    """`40 s`, `3 min`, `2.5 h`."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _frozen(facts: Facts) -> bool:
    """Whether only a head trains, on encodings that are computed once."""
    return facts.train == "head"


def _head(facts: Facts) -> dict[str, Any]:
    return head_defaults(facts.train_rows, facts.classes, facts.width)


def _evaluate_every(facts: Facts, steps: int, epochs: float) -> tuple[int, str]:
    if _frozen(facts):
        return max(1, steps // _head(facts)["evaluations"]), "about 20 times a run"
    return max(1, min(steps // 5, round(steps / max(1.0, epochs)))), "each pass, at least 5 times a run"


def _given(asked: Any, derived: Any, reason: str) -> tuple[Any, str]:
    return (derived, reason) if asked is None else (asked, "asked for")


def _learning_rate(facts: Facts, steps: int) -> tuple[float, str]:
    return (
        (_head(facts)["learning_rate"], "a head on standardised encodings")
        if _frozen(facts)
        else learning_rate(facts, steps)
    )


def _epochs(recipe: Recipe, facts: Facts) -> tuple[float, str]:
    if recipe.epochs is not None:
        return recipe.epochs, "asked for"
    if _frozen(facts):
        return _head(facts)["epochs"], "a head on encodings is cheap"
    if facts.objective == "classify":
        return 8.0, "few labels a row"
    if facts.objective in ("dpo", "reward"):
        return 2.0, "comparisons are soon learned by heart"
    tokens = facts.tokens
    if facts.random_start:
        return 1.0, "a random start learns from every new token"
    for limit, epochs in ((100_000, 6.0), (1_000_000, 4.0), (10_000_000, 2.0)):
        if tokens < limit:
            return epochs, f"{tokens:,} tokens are few" if epochs > 2 else f"{tokens:,} tokens"
    return 1.0, f"{tokens:,} tokens are plenty"


def _batch_tokens(facts: Facts, epochs: float) -> tuple[int, str]:
    """Enough steps to learn (about 100), within 1,024 to 16,384 tokens."""
    tokens = facts.tokens * epochs
    wish = 2 ** round(math.log2(max(1.0, tokens / 100)))
    return max(min(max(wish, 1024), 16384), min(max(facts.lengths, default=1), 16384)), "about 100 steps or more"


def _micro_tokens(facts: Facts, batch_tokens: int) -> tuple[int, str]:
    on_cpu = facts.machine.device == "cpu"
    roof = 2048 if on_cpu else 16384  # on a CPU more is no faster, and memory grows with it
    return min(batch_tokens, max(roof, max(facts.lengths, default=1))), "fits the caches" if on_cpu else "fits the GPU"


def _steps(recipe: Recipe, facts: Facts, settings: dict[str, tuple[Any, str]]) -> tuple[int, str]:
    if recipe.steps is not None:
        return recipe.steps, "asked for"
    if _frozen(facts):
        rows = settings["batch_rows"][0]
        return max(1, round(settings["epochs"][0] * math.ceil(facts.train_rows / rows))), f"batches of {rows} encodings"
    one_pass = by_length(facts.lengths, range(len(facts.lengths)), settings["batch_tokens"][0])
    return max(1, round(len(one_pass) * facts.scale * settings["epochs"][0])), "passes x tokens / batch_tokens"
