"""`affinage eval`: what a run changed, as it was measured then or as it is measured now on other data."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affinage.cli.options import Device, Threads
from affinage.cli.output import Json, Screen, figure, print_json

if TYPE_CHECKING:
    from affinage.data.records import Record
    from affinage.evaluation.comparison import Evaluation
    from affinage.evaluation.scores import HeadScores
    from affinage.runs import Run
    from affinage.training.reporting import Reporter


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    data: Annotated[
        list[str] | None, typer.Option(help="Measure base and run on all rows of these data; may be given again.")
    ] = None,
    device: Device = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Before and after of a run, with intervals: as stored, or measured on other data."""
    from affinage.runs import open_run

    found = open_run(run)
    if not data:
        result = found.evaluation
    else:
        from affinage.training.reporting import Console

        evaluation, seen = measured(found, data, Console(), device=device, threads=threads)
        evaluation = replace(evaluation, origin=_origin(seen))
        result = {**evaluation.to_json(), "data": data, "rows_also_in_the_runs_data": seen}
    show(Screen(as_json=as_json), result)
    if as_json:
        print_json({"run": str(found.folder), **result})


def _origin(seen: int | None) -> str:
    """Which rows were measured on, as the sentence says it."""
    if seen is None:
        return "perhaps of the run's own data too"
    return f"{seen:,} of them in the run's own data" if seen else "none of them in the run's own data"


def measured(
    run: Run, data: Sequence[str], reporter: Reporter, *, device: str | None, threads: int | None
) -> tuple[Evaluation, int | None]:
    """Base and run on every row of `data`, and how many of these rows the run's own data hold too."""
    from affinage.cli.measuring import common, load_base, measure, overlap, records_for
    from affinage.evaluation.comparison import compare_heads, compare_language
    from affinage.evaluation.language import LanguageScores
    from affinage.evaluation.scores import HeadScores
    from affinage.use import load
    from affinage.wiring import OBJECTIVE_TABLE

    records = records_for(run, data)
    seen = overlap(run, records)
    if seen:
        reporter.note(
            f"note: {seen:,} of {len(records):,} rows also stand in the run's own data: the figures flatter it"
        )
    if OBJECTIVE_TABLE[str(run.plan["objective"])].compares:
        return preferred(run, records, reporter, device=device, threads=threads), seen
    model = load(run.folder, device=device, threads=threads)
    task, labels = model.task, model.labels
    after = measure(model, records, reporter, "run")
    del model
    gc.collect()
    if isinstance(after.scores, HeadScores):
        baselines = rivals(run, task or "single", labels, records, after.ids)
        return compare_heads(after.scores, baselines=baselines), seen
    before = measure(load_base(run, device=device, threads=threads), records, reporter, "base")
    first, second = common([before, after])
    assert isinstance(first, LanguageScores)
    assert isinstance(second, LanguageScores)
    return compare_language(first, second), seen


def preferred(
    run: Run, records: Sequence[Record], reporter: Reporter, *, device: str | None, threads: int | None
) -> Evaluation:
    """A run that learned from comparisons on these: against its own start (DPO) and what costs nearly nothing."""
    from affinage.cli.preferring import measure_preferences
    from affinage.data.comparisons import comparable
    from affinage.data.records import Preference
    from affinage.errors import InputError
    from affinage.evaluation.comparison import compare_heads
    from affinage.evaluation.preference_baselines import RIVALS, Compared
    from affinage.evaluation.preferences import PreferenceScores, undecided
    from affinage.tuning.prepare import prepare

    after = measure_preferences(run, records, reporter, device=device, threads=threads)
    dpo = str(run.plan["objective"]) == "dpo"
    known = {record.id: record for record in comparable(records, only_two=dpo)[0] if isinstance(record, Preference)}
    held_out, ways = [known[key] for key in after.ids], RIVALS
    try:
        train = [record for record in prepare(run.recipe).records_on("train") if isinstance(record, Preference)]
    except InputError:  # the training rows are gone: only a coin has nothing to learn
        train, ways = [], dict(list(RIVALS.items())[:1])
    assert isinstance(after.scores, PreferenceScores)
    before = undecided(after.scores) if dpo else None
    compared = Compared(train, held_out)
    return compare_heads(after.scores, baselines={name: way(compared) for name, way in ways.items()}, before=before)


def rivals(
    run: Run, task: str, labels: list[str], records: Sequence[Record], ids: Sequence[str]
) -> dict[str, HeadScores]:
    """What the cheap ways say of the records with these ids, learned from the training rows.

    Where the training rows are gone, the first of them alone, learned from the very rows it is scored on.
    """
    from affinage.data.records import Labelled
    from affinage.data.targets import as_task, target_array
    from affinage.errors import InputError
    from affinage.evaluation.measures import MEASURES, Sides
    from affinage.tuning.prepare import prepare

    known = {record.id: record for record in as_task((r for r in records if isinstance(r, Labelled)), task)}
    held_out = [known[key] for key in ids]
    ways = MEASURES[task].rivals
    try:
        train = [record for record in prepare(run.recipe).records_on("train") if isinstance(record, Labelled)]
    except InputError:
        train, ways = held_out, dict(list(ways.items())[:1])
    sides = Sides(
        [record.text for record in train], target_array(train, labels, task),
        [record.text for record in held_out], target_array(held_out, labels, task), labels, run.recipe.seed,
    )  # fmt: skip
    return {name: way(sides) for name, way in ways.items()}


def show(screen: Screen, result: dict[str, Any]) -> None:
    """An evaluation for people."""
    screen.say(str(result["sentence"]))
    from affinage.reports.words import DETAILS, METRICS

    metrics = {name: pair for name, pair in result.get("metrics", {}).items() if name not in DETAILS}
    if metrics:
        rows = [(METRICS.get(n, n), figure(pair["before"]), figure(pair["after"])) for n, pair in metrics.items()]
        screen.table(("metric", "before", "after"), rows)
    for name, value in result.get("baselines", {}).items():
        screen.say(f"baseline {name}: {METRICS.get(result['metric'], result['metric'])} {figure(value)}")
    lost = result.get("forgetting")
    if lost:
        screen.say(f"general text, {lost['metric']}: {figure(lost['before'])} -> {figure(lost['after'])}")
