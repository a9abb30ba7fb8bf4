"""The one module that knows all names: from a recipe's words to objects. Long and flat on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from affinage.data.records import Chat, Labelled, Pair, Preference, Prompt, Rated, Record, Text
from affinage.errors import InputError
from affinage.recipe import OBJECTIVES, Recipe

if TYPE_CHECKING:
    from affinage.objectives.base import Objective


@dataclass(frozen=True, slots=True)
class ObjectiveEntry:
    """What planning and tuning must know of an objective before it exists.

    `language`: teaches the model to write, so it needs a causal model and has no head of its own.
    """

    eats: tuple[type[Record], ...]
    language: bool
    says: str

    @property
    def compares(self) -> bool:
        """Learns from which of several completions is better; their rows stay together."""
        return Preference in self.eats


OBJECTIVE_TABLE: dict[str, ObjectiveEntry] = {
    "pretrain": ObjectiveEntry((Text,), True, "continue on raw text"),
    "sft": ObjectiveEntry((Chat,), True, "answer as in the data"),
    "classify": ObjectiveEntry((Labelled,), False, "tell labels apart, or foretell a number"),
    "dpo": ObjectiveEntry((Preference,), True, "answer as people prefer"),
    "reward": ObjectiveEntry((Preference,), False, "say how good an answer is"),
}


def choose_objective(recipe: Recipe, kind: type[Record]) -> str:
    """The recipe's objective, or the one that the data's kind asks for.

    Raises:
        InputError: the objective does not eat this kind, or no objective does.
    """
    fitting = [name for name in OBJECTIVES if kind in OBJECTIVE_TABLE[name].eats]
    if recipe.objective is None:
        if not fitting:
            raise _eaten_by_none(kind)
        return fitting[0]
    eats = OBJECTIVE_TABLE[recipe.objective].eats
    if kind not in eats:
        wanted = " or ".join(k.kind for k in eats)
        hint = f"; these rows suit objective {fitting[0]}" if fitting else ""
        told = f"objective {recipe.objective} learns from {wanted} rows, the data are {kind.kind} rows{hint}"
        raise InputError(told, fix="" if fitting else _eaten_by_none(kind).fix)
    return recipe.objective


_UNEATEN: dict[type[Record], tuple[str, str]] = {  # what the rows hold, and what can be learned from them all the same
    Rated: (
        "rated answers (a thumb or a score for each)",
        "to learn from all of them whatever the rating (sft), name their columns: --set columns.messages=messages, or "
        "--set columns.prompt=prompt --set columns.response=completion",
    ),
    Pair: (
        "queries with passages",
        "to learn to continue the passages (pretrain), name their column: --set columns.text=passage",
    ),
    Prompt: ("prompts without answers", "add responses, labels or texts"),
}


def _eaten_by_none(kind: type[Record]) -> InputError:
    """What to say of rows that no objective learns from."""
    holds, fix = _UNEATEN.get(kind, (f"{kind.kind} rows", "add responses, labels or texts"))
    return InputError(f"nothing can be learned from {kind.kind} rows alone: the data hold {holds}", fix=fix)


def choose_train(recipe: Recipe, objective: str, parameters: int) -> tuple[str, str]:
    """The recipe's trainable, or a default with its reason."""
    if recipe.train is not None:
        return recipe.train, "asked for"
    if recipe.initialise == "random":
        return "full", "random weights must all move"
    if objective == "classify":
        return "head", "the frozen model is run once; try lora or last:1 next"
    if objective == "pretrain" and parameters < 100_000_000:
        return "full", "a small model learns new text best with all weights"
    return "lora", "changes little, forgets little, is small on disk"


def make_objective(name: str, recipe: Recipe) -> Objective:
    """The objective itself."""
    if name == "classify":
        from affinage.objectives.classify import ClassifyObjective

        return ClassifyObjective(pooling=recipe.head.pooling or "mean", layer=recipe.head.layer)
    if name == "dpo":
        from affinage.objectives.preference import DPOObjective

        return DPOObjective(recipe.dpo.beta, recipe.dpo.label_smoothing)
    if name == "reward":
        from affinage.objectives.reward import RewardObjective

        return RewardObjective()
    from affinage.objectives.language import LanguageObjective

    return LanguageObjective(OBJECTIVE_TABLE[name].eats)
