"""Everything before the weights load: data in, split, rendered, planned; every refusal happens here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from affinage.data.batches import Row
from affinage.data.duplicates.decontamination import decontaminate
from affinage.data.duplicates.near_duplicates import clusters, drop_near
from affinage.data.labels import label_map, task_of
from affinage.data.ledger import BadRows, Drop, Ledger
from affinage.data.load import Loaded, load_records, nothing_left
from affinage.data.reading.sources import find
from affinage.data.records import Labelled, Record, Text, digest
from affinage.data.rendering.renderer import Renderer
from affinage.data.splits.sections import into_sections
from affinage.data.splits.split import folds as make_folds
from affinage.data.splits.split import split as make_split
from affinage.data.splits.units import make_units
from affinage.data.streams.stream import RowStream
from affinage.data.streams.streamed_batches import StreamedBatches
from affinage.data.streams.token_cache import TokenCache
from affinage.data.targets import NUMBER, REASONS, as_task, targets_of
from affinage.data.wording import whole_text
from affinage.device import Machine, machine
from affinage.errors import InputError
from affinage.models.loading import Base, open_base
from affinage.models.methods import virtual_tokens
from affinage.models.trainables import check_trainable, count_trainable, is_adapter
from affinage.planning.plan import Facts, Plan, make_plan
from affinage.recipe import Recipe
from affinage.tuning.streams import is_streamed, make_stream, open_sources, sample
from affinage.tuning.streams import notes as stream_notes
from affinage.wiring import OBJECTIVE_TABLE, choose_objective, choose_train

FEW_ROWS = 100  # fewer are cross-validated
HELD_OUT_CEILING = 1000
FORM_ROWS, FORM_SHARE = 4, 0.05
SIDES = ("train", "validation", "held_out")


@dataclass(slots=True)
class Prepared:
    """A run that is ready to start.

    Attributes:
        rows_of: record id -> its rendered rows.
        sides: record numbers of train, validation and held_out.
        removed: what was taken out of documents, counted by kind; `redactions`: placeholders by type.
        stream: the training rows, where they are read while training (then `records` on the train side are a sample);
            `streamed` are its batches, once training has begun.
    """

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
    task: str = ""
    removed: dict[str, int] = field(default_factory=dict)
    redactions: dict[str, int] = field(default_factory=dict)
    stream: RowStream | None = None
    streamed: StreamedBatches | None = None

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
        if self.streamed is not None:
            ledger = self.streamed.ledger(
                validation=len(self.sides["validation"]), held_out=len(self.sides["held_out"])
            )
            ledger.check()
            return ledger
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


def load_data(
    recipe: Recipe, *, bad_rows: BadRows | None = None, refused: list[InputError] | None = None
) -> Loaded:
    """The recipe's own data, read as the recipe says; errors of whole files go to `refused`, where it is given.

    Raises:
        InputError: as `load_records`.
    """
    return load_records(
        recipe.data,
        columns=recipe.columns,
        bad_rows=bad_rows or recipe.bad_rows,
        label_separator=recipe.label_separator,
        redact=recipe.redact,
        refused=refused,
    )


def _prepare_streamed(recipe: Recipe) -> Prepared:
    """As `prepare`, on a sample of rows; the others are read while training.

    Raises:
        InputError: also where the rows are of a kind that must be held in memory.
    """
    found = find(recipe.data)
    sources, layouts = open_sources(recipe, found)
    sampled = sample(sources, recipe)
    records = [record for side in SIDES for record in sampled.sides[side]]
    if not records:
        raise nothing_left(found.uris, sampled.drops)
    choice = choose(recipe, type(records[0]))
    if not OBJECTIVE_TABLE[choice.objective].language or recipe.folds not in (None, 1):
        raise InputError(
            f"objective {choice.objective}{' with folds' if recipe.folds else ''} holds its rows in memory",
            fix="--set stream=false, or a smaller sample of the data",
        )
    renderer = make_renderer(recipe, choice.base)
    rows, drops = renderer.rows(records)
    rows_of = _by_record(rows)
    kept = [record for record in records if record.id in rows_of]
    numbers = {record.id: number for number, record in enumerate(kept)}
    sides = {side: [numbers[r.id] for r in sampled.sides[side] if r.id in numbers] for side in SIDES}
    train_rows = [row for number in sides["train"] for row in rows_of[kept[number].id]]
    if not train_rows:
        raise InputError(f"{found.uris[0]}: too few rows to stream", fix="--set stream=false")
    reserved = len(sides["validation"]) + len(sides["held_out"])
    sizes = {side: len(of) for side, of in sides.items()} | {"train": max(1, sampled.rows - reserved)}
    here = machine(recipe.device, recipe.dtype, recipe.threads)
    facts = _facts(recipe, choice, kept[0].kind, sampled.rows, sizes, train_rows, [], here)
    scale = sizes["train"] / len(sides["train"])
    facts = replace(facts, scale=scale, learned_tokens=round(scale * facts.learned_tokens))
    lenient = make_renderer(
        recipe.model_copy(update={"too_long": "drop"}) if recipe.too_long == "error" else recipe, choice.base
    )
    stream = make_stream(recipe, sources, lenient, sampled)
    return Prepared(
        recipe=recipe,
        objective=choice.objective,
        train=choice.train,
        base=choice.base,
        machine=here,
        renderer=renderer,
        records=kept,
        read=len(kept) + len(sampled.drops) + len(drops),
        drops=[*sampled.drops, *drops],
        layouts=layouts,
        notes=[*found.notes, *stream_notes(stream, sampled)],
        labels=[],
        rows_of=rows_of,
        sides=sides,
        plan=make_plan(recipe, facts),
        stream=stream,
    )


def _by_record(rows: Iterable[Row]) -> dict[str, list[Row]]:
    rows_of: dict[str, list[Row]] = {}
    for row in rows:
        rows_of.setdefault(row.record_id, []).append(row)
    return rows_of


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
    if is_streamed(recipe):
        return _prepare_streamed(recipe)
    loaded = load_data(recipe)
    choice = choose(recipe, type(loaded.records[0]))
    records, read = _records(loaded, choice.objective)
    records, gone = decontaminate(records, recipe.decontaminate) if recipe.decontaminate else (records, [])
    if not records:
        raise nothing_left(recipe.data, gone)
    task = ""
    if choice.objective == "classify":
        found = [record for record in records if isinstance(record, Labelled)]
        task = recipe.head.task or task_of(found)
        records = [*as_task(found, task)]
    here = machine(recipe.device, recipe.dtype, recipe.threads)
    renderer = make_renderer(recipe, choice.base)
    labelled = [record for record in records if isinstance(record, Labelled)]
    labels = label_map(labelled) if task else []
    rendered = TokenCache().rows(renderer, records, targets_of(labelled, labels, task) if task else None)
    rows_of = _by_record(rendered.rows)
    kept = [record for record in records if record.id in rows_of]
    if not kept:
        raise InputError("no row is left after rendering", fix="`affinage inspect DATA` shows why each row was dropped")
    kept, near, twins = _near(kept, recipe)
    rows_of = {record.id: rows_of[record.id] for record in kept}
    sides, parts = _sides(kept, recipe, near)
    train_rows = [row for number in sides["train"] for row in rows_of[kept[number].id]]
    facts = _facts(
        recipe,
        choice,
        kept[0].kind,
        read,
        {side: len(of) for side, of in sides.items()},
        train_rows,
        labels,
        here,
        task,
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
        drops=[*loaded.drops, *gone, *rendered.drops, *twins],
        removed=loaded.removed,
        redactions=loaded.redactions,
        layouts=loaded.layouts,
        notes=[*loaded.notes, f"tokens: {rendered.said}"],
        labels=labels,
        rows_of=rows_of,
        sides=sides,
        plan=make_plan(recipe, facts),
        folds=parts,
        task=task,
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
    if not OBJECTIVE_TABLE[objective].language:
        idle = next((key for key in ("mix", "replay", "forgetting_budget") if getattr(recipe, key)), None)
        if idle:
            raise InputError(f"{idle}: objective {objective} learns from labels, beside which no other text can stand")
    if recipe.forgetting_budget is not None and recipe.validation == 0:
        raise InputError(
            "forgetting_budget needs validation rows, by which checkpoints are chosen", fix="leave validation out"
        )


def _facts(
    recipe: Recipe,
    choice: Choice,
    kind: str,
    read: int,
    sizes: dict[str, int],
    train_rows: list[Row],
    labels: list[str],
    here: Machine,
    task: str = "",
) -> Facts:
    base, skeleton = choice.base, choice.skeleton
    outputs = 1 if task == NUMBER else len(labels)
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
        trainable_parameters=count_trainable(recipe, choice.train, base, skeleton, classes=outputs),
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


def _records(loaded: Loaded, objective: str) -> tuple[list[Record], int]:
    """Records to render, and the rows that the ledger counts (sections of a few long texts count each)."""
    texts = [record for record in loaded.records if isinstance(record, Text)]
    if objective != "pretrain" or len(texts) != len(loaded.records):
        return loaded.records, loaded.read
    sections = {section.id: section for section in into_sections(texts)}
    return list(sections.values()), len(sections) + len(loaded.drops)


def _form(rows: int) -> int:
    """Rows of a group that say nearly the same, above which it is a form that is filled in, and no copies."""
    return max(FORM_ROWS, round(FORM_SHARE * rows))


def _near(records: list[Record], recipe: Recipe) -> tuple[list[Record], list[list[int]], list[Drop]]:
    """The records to keep, groups of them that say nearly the same, and those dropped for it."""
    if recipe.near_duplicates == "keep":
        return records, [], []
    groups = clusters([whole_text(record) for record in records])
    if recipe.near_duplicates == "join":
        return records, [group for group in groups if len(group) <= _form(len(records))], []
    kept, drops = drop_near(records, groups)
    return kept, [], drops


def _folded(
    records: Sequence[Record], wanted: int, recipe: Recipe, near: Sequence[Sequence[int]]
) -> tuple[dict[str, list[int]], list[list[int]]]:
    """The folds; the first is held out, and of the others some rows are for validation."""
    parts = make_folds(records, wanted, recipe.seed, near=near)
    rest = sorted({*range(len(records))} - {*parts[0]})
    place = {row: number for number, row in enumerate(rest)}
    inner = make_split(
        [records[row] for row in rest],
        held_out=0,
        validation=0.1 if recipe.validation is None else recipe.validation,
        seed=recipe.seed,
        near=[[place[row] for row in group if row in place] for group in near],
    )
    validation, train = ([rest[number] for number in side] for side in (inner.validation, inner.train))
    return {"held_out": parts[0], "validation": validation, "train": train}, parts


def _sides(
    records: Sequence[Record], recipe: Recipe, near: Sequence[Sequence[int]]
) -> tuple[dict[str, list[int]], list[list[int]]]:
    count = len(records)
    wanted = recipe.folds if recipe.folds is not None else (5 if count < FEW_ROWS and recipe.held_out is None else 1)
    by_time = any(record.time is not None for record in records)
    if wanted > 1 and not by_time and len(make_units(records, near)) >= 2 * wanted:
        return _folded(records, wanted, recipe, near)
    share = min(0.2 * count, max(100.0, 0.05 * count), HELD_OUT_CEILING)
    held_out = recipe.held_out if recipe.held_out is not None else float(max(1, round(share)))
    validation_rows = recipe.validation if recipe.validation is not None else float(max(1, round(share / 2)))
    if count < 4 and recipe.held_out is None:
        raise InputError(
            f"{count} rows are too few to hold any out",
            fix="add rows, or --set held_out=0 --set validation=0 to go without proof",
        )
    found = make_split(
        records, held_out=held_out, validation=validation_rows, seed=recipe.seed, near=near, by_time=by_time
    )
    return {"train": found.train, "validation": found.validation, "held_out": found.held_out}, []
