"""What will be asked of which model, and which of its weights may move; settled before anything is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from affinage.data.batches import Row
from affinage.data.records import Record
from affinage.data.rendering.renderer import Renderer
from affinage.data.targets import NUMBER, REASONS
from affinage.device import Machine
from affinage.errors import InputError
from affinage.models.loading import Base, open_base
from affinage.models.methods import virtual_tokens
from affinage.models.trainables import check_trainable, count_trainable, is_adapter
from affinage.planning.plan import Facts
from affinage.recipe import DPOSettings, Recipe
from affinage.wiring import OBJECTIVE_TABLE, choose_objective, choose_train


@dataclass(frozen=True, slots=True)
class Choice:
    """A point in the grid, and the model without its weights."""

    objective: str
    base: Base
    skeleton: Any
    train: str
    reason: str


def choose(recipe: Recipe, kind: type[Record]) -> Choice:
    """The point in the grid, checked against the model without its weights.

    Raises:
        InputError: the data, the objective, the model and the trainable do not fit each other.
    """
    objective = choose_objective(recipe, kind)
    entry = OBJECTIVE_TABLE[objective]
    base = open_base(recipe.model, trust_remote_code=recipe.trust_remote_code)
    if entry.language and not base.causal:
        fix = f"use objective {'reward' if entry.compares else 'classify'}, or a causal model"
        raise InputError(f"{recipe.model!r} is an encoder: it cannot learn to write", fix=fix)
    _refuse_idle(recipe, objective)
    skeleton = base.skeleton()
    train, reason = choose_train(recipe, objective, _size(skeleton))
    check_trainable(recipe, train, base, skeleton, has_head=not entry.language)
    return Choice(objective, base, skeleton, train, reason)


def _refuse_idle(recipe: Recipe, objective: str) -> None:
    """Settings that could change nothing here.

    Raises:
        InputError: names the first of them.
    """
    entry = OBJECTIVE_TABLE[objective]
    if entry.compares or not entry.language:
        idle = next((key for key in ("mix", "replay", "forgetting_budget") if getattr(recipe, key)), None)
        if idle:
            what = "comparisons" if entry.compares else "labels"
            raise InputError(f"{idle}: objective {objective} learns from {what}, beside which no other text can stand")
    if objective != "dpo" and recipe.dpo != DPOSettings():
        raise InputError(f"dpo.*: these are settings of objective dpo, and this is {objective}", fix="remove them")
    if recipe.forgetting_budget is not None and recipe.validation == 0:
        raise InputError(
            "forgetting_budget needs validation rows, by which checkpoints are chosen", fix="leave validation out"
        )


def make_facts(
    recipe: Recipe,
    choice: Choice,
    kind: str,
    read: int,
    sizes: dict[str, int],
    train_rows: Sequence[Row],
    labels: Sequence[str],
    here: Machine,
    task: str = "",
    lengths: Sequence[int] | None = None,
) -> Facts:
    """What the plan may know.

    Args:
        sizes: rows of each side.
        train_rows: those on the train side.
        lengths: tokens of what stays together in one batch, where that is not a row.
    """
    base, skeleton = choice.base, choice.skeleton
    reward = choice.objective == "reward"
    outputs = 1 if task == NUMBER or reward else len(labels)
    return Facts(
        kind=kind,
        objective=choice.objective,
        says=OBJECTIVE_TABLE[choice.objective].says,
        train=choice.train,
        train_reason=choice.reason,
        lengths=[len(row) for row in train_rows] if lengths is None else lengths,
        learned_tokens=sum(row.learned for row in train_rows),
        train_rows=sizes["train"],
        held_out_rows=sizes["held_out"],
        validation_rows=sizes["validation"],
        rows=read,
        parameters=_size(skeleton),
        trainable_parameters=count_trainable(recipe, choice.train, base, skeleton, classes=outputs, reward=reward),
        width=base.width,
        vocabulary=base.vocabulary,
        blocks=base.blocks,
        model_context=base.context,
        classes=outputs,
        random_start=recipe.initialise == "random",
        machine=here,
        task=task,
        task_reason=REASONS.get(task, ""),
    )


def _size(skeleton: Any) -> int:
    return sum(tensor.numel() for tensor in skeleton.parameters())


def make_renderer(recipe: Recipe, base: Base) -> Renderer:
    """The renderer of a run: the base's tokenizer under the recipe's settings.

    Raises:
        InputError: the context asked for is longer than the model takes.
    """
    room = base.context
    if recipe.train is not None and is_adapter(recipe.train):
        room -= virtual_tokens(recipe.train, recipe.adapter)
    if recipe.context and recipe.context > room:
        raise InputError(f"context = {recipe.context}: the model takes at most {room} tokens")
    return Renderer(
        base.tokenizer,
        system_prompt=recipe.system_prompt,
        learn_from=recipe.learn_from,
        context=recipe.context or room,
        too_long=recipe.too_long,
    )
