"""Data as `tune` would see them, read on past what it would refuse, so that all that is wrong is told at once."""

from __future__ import annotations

from collections.abc import Sequence

from affinage.data.ledger import Ledger
from affinage.data.load import load_records
from affinage.data.records import Chat, Labelled, Record, Text
from affinage.data.rendering import Renderer
from affinage.data.sections import into_sections
from affinage.errors import InputError
from affinage.inspection.material import Material
from affinage.models.loading import open_base
from affinage.models.trainables import check_trainable
from affinage.recipe import Recipe
from affinage.tuning.prepare import Prepared, make_renderer, prepare
from affinage.wiring import OBJECTIVE_TABLE, choose_objective, choose_train

_TOGETHER = 1024  # records rendered in one call


def survey(recipe: Recipe) -> Material:
    """What the checks of `inspection` look at.

    A recipe that `tune` takes is surveyed by its own preparation. One that it refuses is read on leniently: damaged and
    too long rows aside, without a model where there is none.
    """
    try:
        return of_prepared(prepare(recipe))
    except InputError as refusal:
        material = Material(recipe, Ledger(), refusal=refusal)
    _read(material)
    if material.records:
        _render(material)
    _count(material)
    return material


def of_prepared(prepared: Prepared) -> Material:
    """The material of a run that is ready to start; its ledger takes all training rows as reached."""
    return Material(
        prepared.recipe,
        prepared.ledger({record.id for record in prepared.records}),
        records=prepared.records,
        drops=prepared.drops,
        layouts=prepared.layouts,
        notes=prepared.notes,
        objective=prepared.objective,
        renderer=prepared.renderer,
        rows_of=prepared.rows_of,
    )


def _read(material: Material) -> None:
    recipe = material.recipe
    try:
        loaded = load_records(recipe.data, columns=recipe.columns, bad_rows="drop")
        material.records, material.drops = loaded.records, loaded.drops
        material.layouts, material.notes = loaded.layouts, loaded.notes
        material.objective = choose_objective(recipe, type(loaded.records[0]))
    except InputError as error:
        material.problems.append(error)
    texts = [record for record in material.records if isinstance(record, Text)]
    if material.objective == "pretrain":
        material.records = list({section.id: section for section in into_sections(texts)}.values())


def _render(material: Material) -> None:
    renderer = _renderer(material)
    if renderer is None or not isinstance(material.records[0], Text | Chat | Labelled):
        return
    material.renderer = renderer
    for start in range(0, len(material.records), _TOGETHER):
        block = material.records[start : start + _TOGETHER]
        try:
            _render_block(material, renderer, block)
        except InputError:  # one by one, so that each row that cannot be rendered is told
            for record in block:
                try:
                    _render_block(material, renderer, [record])
                except InputError as error:
                    material.not_rendered.append((record, error))
    too_long = {drop.record_id for drop in material.drops if drop.reason == "too-long"}
    for record in material.records:
        if record.id in too_long and isinstance(record, Chat | Labelled):
            row = renderer.chat(record) if isinstance(record, Chat) else renderer.labelled(record, 0.0)
            material.too_long.append((record, len(row)))


def _renderer(material: Material) -> Renderer | None:
    """The recipe's renderer, too long rows left out; None where the model cannot be opened."""
    recipe = material.recipe
    try:
        base = open_base(recipe.model, trust_remote_code=recipe.trust_remote_code)
    except InputError as error:
        material.problems.append(error)
        return None
    if material.objective is not None:
        language = OBJECTIVE_TABLE[material.objective].language
        try:
            skeleton = base.skeleton()
            train, _ = choose_train(recipe, material.objective, sum(tensor.numel() for tensor in skeleton.parameters()))
            check_trainable(recipe, train, base, skeleton, has_head=not language)
        except InputError as error:
            material.problems.append(error)
    lenient = recipe if recipe.too_long != "error" else recipe.model_copy(update={"too_long": "drop"})
    try:
        return make_renderer(lenient, base)
    except InputError as error:
        material.problems.append(error)
    try:
        return make_renderer(lenient.model_copy(update={"context": None}), base)
    except InputError:  # told above
        return None


def _render_block(material: Material, renderer: Renderer, records: Sequence[Record]) -> None:
    targets = {record.label: 0.0 for record in records if isinstance(record, Labelled)}
    rows, drops = renderer.rows(records, targets)
    for row in rows:
        material.rows_of.setdefault(row.record_id, []).append(row)
    material.drops = [*material.drops, *drops]


def _count(material: Material) -> None:
    """A ledger for data that no run learns from yet: rows that stay are not reached."""
    gone = {drop.record_id for drop in material.drops if drop.reason != "duplicate"}
    kept = [record for record in material.records if record.id not in gone]
    ledger = Ledger(read=len(kept) + len(material.drops), not_reached=len(kept))
    ledger.drop(material.drops)
    rows = [row for record in kept for row in material.rows_of.get(record.id, [])]
    ledger.truncated_tokens = sum(row.truncated for row in rows)
    ledger.tokens = sum(len(row) for row in rows)
    ledger.learned_tokens = sum(row.learned for row in rows)
    material.ledger = ledger
