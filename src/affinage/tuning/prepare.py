"""Everything before the weights load: data in, split, rendered, planned; every refusal happens here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from affinage.data.batches import Row
from affinage.data.labels import label_map
from affinage.data.ledger import Drop, Ledger
from affinage.data.load import Loaded, load_records
from affinage.data.records import Labelled, Record, Text, digest
from affinage.data.rendering import Renderer
from affinage.data.sections import into_sections
from affinage.data.splits import folds as make_folds
from affinage.data.splits import split as make_split
from affinage.device import Machine, machine
from affinage.errors import InputError
from affinage.models.loading import Base, open_base
from affinage.models.methods import virtual_tokens
from affinage.models.trainables import check_trainable, count_trainable, is_adapter
from affinage.planning.plan import Facts, Plan, make_plan
from affinage.recipe import Recipe
from affinage.wiring import OBJECTIVE_TABLE, choose_objective, choose_train

FEW_ROWS = 100  # fewer are cross-validated
HELD_OUT_CEILING = 1000


@dataclass(slots=True)
class Prepared:
    """A run that is ready to start. `rows[side]` are the rendered rows of train, validation and held_out."""

    recipe: Recipe
    objective: str
    train: str
    base: Base
    machine: Machine
    renderer: Renderer
    records: list[Record]
    read: int
    drops: list[Drop]
    layouts: dict[str, str]
    notes: list[str]
    labels: list[str]
    rows_of: dict[str, list[Row]]
    sides: dict[str, list[int]]
    plan: Plan
    folds: list[list[int]] = field(default_factory=list)

    @property
    def language(self) -> bool:
        """Scored by next-token likelihood (else by its own head)."""
        return OBJECTIVE_TABLE[self.objective].language

    def records_on(self, side: str) -> list[Record]:
        """The records of train, validation or held_out."""
        return [self.records[number] for number in self.sides[side]]

    def rows_on(self, side: str) -> list[Row]:
        """The rendered rows of train, validation or held_out."""
        return self.rows_at(self.sides[side])

    def rows_at(self, numbers: Sequence[int]) -> list[Row]:
        """The rendered rows of some records."""
        return [row for number in numbers for row in self.rows_of[self.records[number].id]]

    def ledger(self, reached: set[str]) -> Ledger:
        """What became of every row; `reached` holds the ids of records that a batch has carried."""
        train = self.records_on("train")
        trained = [record for record in train if record.id in reached]
        rows = self.rows_on("train")
        counts = Counter(drop.reason for drop in self.drops)
        ledger = Ledger(
            read=self.read,
            trained=len(trained),
            not_reached=len(train) - len(trained),
            validation=len(self.sides["validation"]),
            held_out=len(self.sides["held_out"]),
            dropped=dict(counts),
            truncated_tokens=sum(row.truncated for rows in self.rows_of.values() for row in rows),
            tokens=sum(len(row) for row in rows),
            learned_tokens=sum(row.learned for row in rows),
        )
        ledger.check()
        return ledger

    @property
    def data_digest(self) -> str:
        """Changes when the data change: a resumed run must meet the same rows."""
        return digest([record.id for record in self.records])


@dataclass(frozen=True, slots=True)
class Choice:
    """What will be asked of which model, and which of its weights may move; settled before anything is rendered."""

    objective: str
    base: Base
    skeleton: Any
    train: str
    reason: str


def prepare(recipe: Recipe) -> Prepared:
    """Read, check, split, render and plan.

    Raises:
        InputError: anything is wrong with the recipe, the data or the model; nothing has been written yet.
    """
    if not recipe.data:
        raise InputError("no data given", fix="affinage tune FILE, or `data:` in the recipe")
    loaded = load_records(recipe.data, columns=recipe.columns, bad_rows=recipe.bad_rows)
    choice = choose(recipe, type(loaded.records[0]))
    records, read = _records(loaded, choice.objective)
    here = machine(recipe.device, recipe.dtype, recipe.threads)
    renderer = make_renderer(recipe, choice.base)
    labelled = [record for record in records if isinstance(record, Labelled)]
    labels = label_map(labelled) if choice.objective == "classify" else []
    rows, drops = renderer.rows(records, {label: float(n) for n, label in enumerate(labels)} or None)
    rows_of: dict[str, list[Row]] = {}
    for row in rows:
        rows_of.setdefault(row.record_id, []).append(row)
    kept = [record for record in records if record.id in rows_of]
    if not kept:
        raise InputError("no row is left after rendering", fix="`affinage inspect DATA` shows why each row was dropped")
    sides, parts = _sides(kept, recipe)
    train_rows = [row for number in sides["train"] for row in rows_of[kept[number].id]]
    facts = _facts(
        recipe, choice, kept[0].kind, read, {side: len(of) for side, of in sides.items()}, train_rows, labels, here
    )
    return Prepared(
        recipe=recipe,
        objective=choice.objective,
        train=choice.train,
        base=choice.base,
        machine=here,
        renderer=renderer,
        records=kept,
        read=read,
        drops=[*loaded.drops, *drops],
        layouts=loaded.layouts,
        notes=loaded.notes,
        labels=labels,
        rows_of=rows_of,
        sides=sides,
        plan=make_plan(recipe, facts),
        folds=parts,
    )


def choose(recipe: Recipe, kind: type[Record]) -> Choice:
    """The point in the grid, checked against the model without its weights.

    Raises:
        InputError: the data, the objective, the model and the trainable do not fit each other.
    """
    objective = choose_objective(recipe, kind)
    entry = OBJECTIVE_TABLE[objective]
    base = open_base(recipe.model, trust_remote_code=recipe.trust_remote_code)
    if entry.language and not base.causal:
        fix = "use objective classify, or a causal model"
        raise InputError(f"{recipe.model!r} is an encoder: it cannot learn to write", fix=fix)
    skeleton = base.skeleton()
    train, reason = choose_train(recipe, objective, _size(skeleton))
    check_trainable(recipe, train, base, skeleton, has_head=not entry.language)
    return Choice(objective, base, skeleton, train, reason)


def _facts(
    recipe: Recipe,
    choice: Choice,
    kind: str,
    read: int,
    sizes: dict[str, int],
    train_rows: list[Row],
    labels: list[str],
    here: Machine,
) -> Facts:
    base, skeleton = choice.base, choice.skeleton
    return Facts(
        kind=kind,
        objective=choice.objective,
        says=OBJECTIVE_TABLE[choice.objective].says,
        train=choice.train,
        train_reason=choice.reason,
        lengths=[len(row) for row in train_rows],
        learned_tokens=sum(row.learned for row in train_rows),
        train_rows=sizes["train"],
        held_out_rows=sizes["held_out"],
        validation_rows=sizes["validation"],
        rows=read,
        parameters=_size(skeleton),
        trainable_parameters=count_trainable(recipe, choice.train, base, skeleton, classes=len(labels)),
        width=base.width,
        vocabulary=base.vocabulary,
        blocks=base.blocks,
        model_context=base.context,
        classes=len(labels),
        random_start=recipe.initialise == "random",
        machine=here,
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


def _records(loaded: Loaded, objective: str) -> tuple[list[Record], int]:
    """Records to render, and the rows that the ledger counts (sections of a few long texts count each)."""
    texts = [record for record in loaded.records if isinstance(record, Text)]
    if objective != "pretrain" or len(texts) != len(loaded.records):
        return loaded.records, loaded.read
    sections = {section.id: section for section in into_sections(texts)}
    return list(sections.values()), len(sections) + len(loaded.drops)


def _sides(records: Sequence[Record], recipe: Recipe) -> tuple[dict[str, list[int]], list[list[int]]]:
    count = len(records)
    wanted = recipe.folds if recipe.folds is not None else (5 if count < FEW_ROWS and recipe.held_out is None else 1)
    keys = len({record.split_key for record in records})
    if wanted > 1 and keys >= 2 * wanted:
        parts = make_folds(records, wanted, recipe.seed)
        rest = sorted({*range(count)} - {*parts[0]})
        validation = rest[:: max(2, len(rest) // max(1, count // 10))] if recipe.validation != 0 else []
        sides = {"held_out": parts[0], "validation": validation, "train": sorted({*rest} - {*validation})}
        return sides, parts
    share = min(0.2 * count, max(100.0, 0.05 * count), HELD_OUT_CEILING)
    held_out = recipe.held_out if recipe.held_out is not None else float(max(1, round(share)))
    validation_rows = recipe.validation if recipe.validation is not None else float(max(1, round(share / 2)))
    if count < 4 and recipe.held_out is None:
        raise InputError(
            f"{count} rows are too few to hold any out",
            fix="add rows, or --set held_out=0 --set validation=0 to go without proof",
        )
    found = make_split(records, held_out=held_out, validation=validation_rows, seed=recipe.seed)
    return {"train": found.train, "validation": found.validation, "held_out": found.held_out}, []
