"""Runs measured again: on given data, or on the rows that all of them held out. The record is the unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from affinage.data.records import Labelled, Record, Text
from affinage.data.splits.sections import into_sections
from affinage.data.targets import as_task, targets_of
from affinage.device import machine
from affinage.errors import InputError
from affinage.evaluation.answers import score_rows
from affinage.evaluation.language import LanguageScores, score_language
from affinage.evaluation.scores import HeadScores
from affinage.models.loading import open_base
from affinage.training.reporting import Reporter
from affinage.tuning.choice import make_renderer
from affinage.tuning.prepare import load_data, prepare
from affinage.use import BUDGET, Adapted, load_model
from affinage.wiring import OBJECTIVE_TABLE

if TYPE_CHECKING:
    from affinage.runs import Run

Scores = LanguageScores | HeadScores


@dataclass(frozen=True, slots=True)
class Measured:
    """Scores of one model on some records; `ids` names the records that fitted its context, in the scores' order."""

    ids: list[str]
    scores: Scores


def records_for(run: Run, data: Sequence[str]) -> list[Record]:
    """The records of `data`, read as the run's own data were.

    Raises:
        InputError: the files cannot be read, or hold another kind than the run's objective takes.
    """
    recipe, objective = run.recipe, str(run.plan["objective"])
    records = load_data(recipe.model_copy(update={"data": tuple(map(str, data))})).records
    eats = OBJECTIVE_TABLE[objective].eats
    if not isinstance(records[0], eats):
        wanted = " or ".join(kind.kind for kind in eats)
        raise InputError(
            f"{data[0]} holds {records[0].kind} rows; {run.folder} ({objective}) is measured on {wanted} rows"
        )
    texts = [record for record in records if isinstance(record, Text)]
    return list({section.id: section for section in into_sections(texts)}.values()) if texts else records


def measure(model: Adapted, records: Sequence[Record], reporter: Reporter, name: str) -> Measured:
    """Score `records` with a loaded model.

    Raises:
        InputError: a label is unknown to the model, or a record is too long and the run's recipe says "error".
    """
    targets, task = None, model.task
    if task:
        records = as_task([record for record in records if isinstance(record, Labelled)], task)
        targets = targets_of(records, model.labels, task)
    rows, _ = model.renderer.rows(records, targets)
    ids = list(dict.fromkeys(row.record_id for row in rows))
    if not ids:
        raise InputError("no row is left to measure on", fix="`affinage inspect DATA` shows why each row was dropped")
    pad = model.renderer.pad_id
    with reporter.stage(f"scoring {name}", len(rows)) as advance:
        if task:
            return Measured(ids, score_rows(model.model, rows, budget=BUDGET, pad_id=pad))
        found = score_language(model.model, rows, budget=BUDGET, pad_id=pad, progress=lambda done, total: advance(done))
    return Measured(ids, found.by_record(rows))


def load_base(run: Run, *, device: str | None = None, threads: int | None = None) -> Adapted:
    """The untouched base of a run, under the run's own renderer.

    Raises:
        InputError: the base is no longer there.
    """
    recipe, own = run.recipe, open_base(str(run.folder))
    base = open_base(str(run.read("fingerprint.json")["base"]["name"]))
    model = load_model(base, machine(device, recipe.dtype, threads), recipe)
    return Adapted(base, recipe, str(run.plan["objective"]), True, model, make_renderer(recipe, own))


def held_out_by_all(runs: Sequence[Run]) -> list[Record]:
    """Records that every run held out and none has learned from.

    Raises:
        InputError: a run's data can no longer be read, or nothing is shared.
    """
    shared: dict[str, Record] | None = None
    learned: set[str] = set()
    for run in runs:
        prepared = prepare(run.recipe)
        if prepared.data_digest != run.read("environment.json").get("data_digest"):
            raise InputError(
                f"the data of {run.folder} have changed since it was tuned", fix="name other data with --data"
            )
        mine = {record.id: record for record in prepared.records_on("held_out")}
        learned |= {record.id for side in ("train", "validation") for record in prepared.records_on(side)}
        shared = mine if shared is None else {key: record for key, record in shared.items() if key in mine}
    chosen = [record for key, record in (shared or {}).items() if key not in learned]
    if len(chosen) < 2:
        raise InputError("the runs share no held-out rows", fix="name data that none has seen with --data")
    return chosen


def overlap(run: Run, records: Sequence[Record]) -> int | None:
    """How many of `records` also stand in the run's own data; None where those can no longer be read."""
    recipe = run.recipe
    try:
        own = load_data(recipe, bad_rows="drop").records
    except InputError:
        return None
    texts = [record for record in own if isinstance(record, Text)]
    known = {record.split_key for record in (into_sections(texts) if texts else own)}
    return sum(record.split_key in known for record in records)


def common(measured: Sequence[Measured]) -> list[Scores]:
    """The scores on the records that all models could take, in the same order.

    Raises:
        InputError: there is no such record.
    """
    places = [{key: place for place, key in enumerate(one.ids)} for one in measured]
    shared = [key for key in measured[0].ids if all(key in place for place in places)]
    if not shared:
        raise InputError("no row fits the context of every run")
    return [chosen(one.scores, [place[key] for key in shared]) for one, place in zip(measured, places, strict=True)]


def chosen(scores: Scores, numbers: Sequence[int]) -> Scores:
    """The scores of some records."""
    if isinstance(scores, HeadScores):
        return scores.chosen(numbers)
    index = np.array(numbers, np.int64)
    return LanguageScores(scores.nll_R[index], scores.tokens_R[index], scores.bytes_R[index], scores.hits_R[index])
