"""Runs that learned from comparisons, measured again on given data. The record is the unit."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from affinage.cli.measuring import Measured, load_base
from affinage.data.comparisons import comparable
from affinage.data.groups import Group
from affinage.data.records import Preference, Record
from affinage.errors import InputError
from affinage.evaluation.preferences import PreferenceScores
from affinage.evaluation.rewards import reward_values
from affinage.models.completions import Floats, completion_values
from affinage.models.reference import reference_logprobs
from affinage.store.arrays import ArrayCache
from affinage.training.reporting import Reporter
from affinage.tuning.prepared import rows_by_id
from affinage.use import BUDGET, Adapted, load

if TYPE_CHECKING:
    from affinage.runs import Run


def measure_preferences(
    run: Run, records: Sequence[Record], reporter: Reporter, *, device: str | None, threads: int | None
) -> Measured:
    """The run's rewards of these comparisons: those of its head, or those that DPO implies.

    Raises:
        InputError: no comparison is left to measure on, or the base is no longer there.
    """
    dpo = str(run.plan["objective"]) == "dpo"
    told_apart, _ = comparable(records, only_two=dpo)
    model = load(run.folder, device=device, threads=threads)
    rows_of = rows_by_id(model.renderer.rows(told_apart)[0])
    kept = [record for record in told_apart if isinstance(record, Preference) and record.id in rows_of]
    if not kept:
        raise InputError("no row is left to measure on", fix="`affinage inspect DATA` shows why each row was dropped")
    groups = [Group(tuple(rows_of[record.id])) for record in kept]
    with reporter.stage(f"scoring {run.name}", len(groups)) as advance:
        rewards = _log_probabilities(model, groups, advance) if dpo else _rewards(model, groups, advance)
    if dpo:
        del model
        gc.collect()
        base, beta = load_base(run, device=device, threads=threads), run.recipe.dpo.beta
        with reporter.stage("asking the reference", len(groups)) as advance:
            before = reference_logprobs(
                base.model, groups, budget=BUDGET, pad_id=base.renderer.pad_id, cache=ArrayCache(),
                progress=lambda done, total: advance(done),
            )  # fmt: skip
        rewards = [beta * (now - then) for now, then in zip(rewards, before.values, strict=True)]
    return Measured([record.id for record in kept], PreferenceScores(rewards, [record.ranks for record in kept]))


def _log_probabilities(model: Adapted, groups: Sequence[Group], advance: Any) -> list[Floats]:
    return completion_values(
        model.model, groups, model.model.row_logprobs, budget=BUDGET, pad_id=model.renderer.pad_id,
        progress=lambda done, total: advance(done),
    )  # fmt: skip


def _rewards(model: Adapted, groups: Sequence[Group], advance: Any) -> list[Floats]:
    return reward_values(
        model.model, groups, budget=BUDGET, pad_id=model.renderer.pad_id, progress=lambda done, total: advance(done)
    )
