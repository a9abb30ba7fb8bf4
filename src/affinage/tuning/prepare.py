"""Everything before the weights load: data in, split, rendered, planned; every refusal happens here."""

from __future__ import annotations

from collections.abc import Sequence

from affinage.data.batches import Row
from affinage.data.comparisons import comparable
from affinage.data.duplicates.decontamination import decontaminate
from affinage.data.groups import Group
from affinage.data.labels import label_map, task_of
from affinage.data.ledger import BadRows
from affinage.data.load import Loaded, load_records, nothing_left
from affinage.data.records import Labelled, Record, Text
from affinage.data.splits.sections import into_sections
from affinage.data.streams.token_cache import TokenCache
from affinage.data.targets import as_task, targets_of
from affinage.device import machine
from affinage.errors import InputError
from affinage.planning.plan import make_plan
from affinage.recipe import Recipe
from affinage.tuning.choice import choose, make_facts, make_renderer
from affinage.tuning.handling import handling
from affinage.tuning.prepared import Prepared, rows_by_id
from affinage.tuning.sides import copies, make_sides, near_groups
from affinage.tuning.streams import is_streamed, prepare_streamed
from affinage.wiring import OBJECTIVE_TABLE


def prepare(recipe: Recipe) -> Prepared:
    """Read, check, split, render and plan.

    Raises:
        InputError: anything is wrong with the recipe, the data or the model; nothing has been written yet.
    """
    if not recipe.data:
        raise InputError("no data given", fix="affinage tune FILE, or `data:` in the recipe")
    prepared = prepare_streamed(recipe) if is_streamed(recipe) else _prepare_whole(recipe)
    prepared.plan.settings.update(handling(prepared))
    return prepared


def _prepare_whole(recipe: Recipe) -> Prepared:
    """As `prepare`, with all rows in memory."""
    loaded = load_data(recipe)
    choice = choose(recipe, type(loaded.records[0]))
    records, read = _records(loaded, choice.objective)
    records, gone = decontaminate(records, recipe.decontaminate) if recipe.decontaminate else (records, [])
    compares = OBJECTIVE_TABLE[choice.objective].compares
    if compares:
        records, useless = comparable(records, only_two=choice.objective == "dpo")
        gone = [*gone, *useless]
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
    rows_of = rows_by_id(rendered.rows)
    kept = [record for record in records if record.id in rows_of]
    if not kept:
        raise InputError("no row is left after rendering", fix="`affinage inspect DATA` shows why each row was dropped")
    kept, near, twins = near_groups(kept, recipe)
    rows_of = {record.id: rows_of[record.id] for record in kept}
    sides, parts = make_sides(kept, recipe, copies(near or [], len(kept)))
    train = [rows_of[kept[number].id] for number in sides["train"]]
    facts = make_facts(
        recipe,
        choice,
        kept[0].kind,
        read,
        {side: len(of) for side, of in sides.items()},
        [row for rows in train for row in rows],
        labels,
        here,
        task,
        group_sizes(train) if compares else None,
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
        near=near,
        folds=parts,
        task=task,
    )


def group_sizes(groups: Sequence[Sequence[Row]]) -> list[int]:
    """Tokens of each group of rows, its prompt counted once."""
    return [Group(tuple(rows)).tokens for rows in groups]


def load_data(recipe: Recipe, *, bad_rows: BadRows | None = None, refused: list[InputError] | None = None) -> Loaded:
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


def _records(loaded: Loaded, objective: str) -> tuple[list[Record], int]:
    """Records to render, and the rows that the ledger counts (sections of a few long texts count each)."""
    texts = [record for record in loaded.records if isinstance(record, Text)]
    if objective != "pretrain" or len(texts) != len(loaded.records):
        return loaded.records, loaded.read
    sections = {section.id: section for section in into_sections(texts)}
    return list(sections.values()), len(sections) + len(loaded.drops)
