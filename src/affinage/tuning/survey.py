"""Data as `tune` would see them, read on past what it would refuse, so that all that is wrong is told at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from affinage.data.batches import Row
from affinage.data.duplicates.decontamination import decontaminate
from affinage.data.ledger import Ledger
from affinage.data.records import Chat, Labelled, Pair, Preference, Prompt, Rated, Record, Text
from affinage.data.rendering.renderer import Renderer
from affinage.data.splits.sections import into_sections
from affinage.errors import InputError
from affinage.inspection.checks import find
from affinage.inspection.findings import Findings
from affinage.inspection.gate import refuse_errors
from affinage.inspection.material import Material
from affinage.models.loading import Base, open_base
from affinage.models.trainables import check_trainable
from affinage.recipe import Recipe
from affinage.tuning.choice import make_renderer
from affinage.tuning.prepare import load_data, prepare
from affinage.tuning.prepared import Prepared
from affinage.wiring import OBJECTIVE_TABLE, choose_objective, choose_train

_TOGETHER = 1024  # records rendered in one call


def survey(recipe: Recipe) -> Material:
    """What the checks of `inspection` look at.

    A recipe that `tune` takes is surveyed by its own preparation. One that it refuses is read on leniently: damaged and
    too long rows and unreadable files aside, without a model where there is none.
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
        sides=prepared.sides,
        near_known=prepared.near,
        redactions=prepared.redactions,
        removed=prepared.removed,
        model_folder=_folder(prepared.base),
        model_context=prepared.base.context,
    )


def checked(prepared: Prepared) -> Findings:
    """The findings of a run that is ready to start.

    Raises:
        InputError: there is an error among them; no model has been loaded and nothing written yet.
    """
    findings = find(of_prepared(prepared))
    refuse_errors(findings)
    return findings


def _folder(base: Base) -> Path | None:
    """Where the model's tokenizer lies on disk."""
    place = base.adapters[-1] if base.adapters else Path(base.location)
    return place if place.is_dir() else None


def _read(material: Material) -> None:
    recipe = material.recipe
    try:
        loaded = load_data(recipe, bad_rows="drop", refused=material.problems)
        material.records, material.drops = loaded.records, loaded.drops
        material.layouts, material.notes = loaded.layouts, loaded.notes
        material.removed, material.redactions = loaded.removed, loaded.redactions
        if recipe.decontaminate:
            material.records, gone = decontaminate(material.records, recipe.decontaminate)
            material.drops = [*material.drops, *gone]
        if loaded.records:
            material.objective = choose_objective(recipe, type(loaded.records[0]))
    except InputError as error:
        material.problems.append(error)
    texts = [record for record in material.records if isinstance(record, Text)]
    if material.objective == "pretrain":
        material.records = list({section.id: section for section in into_sections(texts)}.values())


def _render(material: Material) -> None:
    renderer = _renderer(material)
    if renderer is None:
        return
    material.renderer = renderer
    if not isinstance(material.records[0], Text | Chat | Labelled):
        _render_others(material, renderer)
        return
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


def _render_others(material: Material, renderer: Renderer) -> None:
    """Kinds that are not one row each: a prompt with its best answer, or a passage, for the lengths."""
    for record in material.records:
        try:
            row = _stand_in(record, renderer)
        except InputError as error:
            material.not_rendered.append((record, error))
            continue
        if len(row) <= renderer.context:
            material.rows_of[record.id] = [row]
        else:
            material.too_long.append((record, len(row)))


def _stand_in(record: Record, renderer: Renderer) -> Row:
    if isinstance(record, Pair):
        return renderer.labelled(Labelled(text=record.passage, label=""), 0.0)
    if isinstance(record, Preference):
        return renderer.chat(Chat(messages=(*record.messages, record.best), source=record.source))
    if isinstance(record, Rated):
        return renderer.chat(Chat(messages=(*record.messages, record.completion), source=record.source))
    turns = record.messages if isinstance(record, Prompt) else ()
    return renderer.chat(Chat(messages=turns, source=record.source))


def _renderer(material: Material) -> Renderer | None:
    """The recipe's renderer, too long rows left out; None where the model cannot be opened."""
    recipe = material.recipe
    try:
        base = open_base(recipe.model, trust_remote_code=recipe.trust_remote_code)
    except InputError as error:
        material.problems.append(error)
        return None
    material.model_folder, material.model_context = _folder(base), base.context
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
    targets: dict[Any, Any] = {record.label: 0.0 for record in records if isinstance(record, Labelled)}
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
