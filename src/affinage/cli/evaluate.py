"""`affinage eval`: what a run changed, as it was measured then or as it is measured now on other data."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affinage.cli.output import Json, Screen, figure, print_json

if TYPE_CHECKING:
    from affinage.data.records import Record
    from affinage.evaluation.classification import ClassScores
    from affinage.evaluation.comparison import Evaluation
    from affinage.runs import Run
    from affinage.training.reporting import Reporter


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    data: Annotated[
        list[str] | None, typer.Option(help="Measure base and run on all rows of these data; may be given again.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
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
        result = {**evaluation.to_json(), "data": data, "rows_also_in_the_runs_data": seen}
    show(Screen(as_json=as_json), result)
    if as_json:
        print_json({"run": str(found.folder), **result})


def measured(
    run: Run, data: Sequence[str], reporter: Reporter, *, device: str | None, threads: int | None
) -> tuple[Evaluation, int | None]:
    """Base and run on every row of `data`, and how many of these rows the run's own data hold too."""
    from affinage.cli.measuring import common, load_base, measure, overlap, records_for
    from affinage.evaluation.classification import ClassScores
    from affinage.evaluation.comparison import compare_classes, compare_language
    from affinage.evaluation.language import LanguageScores
    from affinage.use import load

    records = records_for(run, data)
    seen = overlap(run, records)
    if seen:
        reporter.note(
            f"note: {seen:,} of {len(records):,} rows also stand in the run's own data: the figures flatter it"
        )
    after = measure(load(run.folder, device=device, threads=threads), records, reporter, "run")
    gc.collect()
    if isinstance(after.scores, ClassScores):
        known = {record.id: record for record in records}
        baselines = baseline_hits(run, [known[key] for key in after.ids], after.scores)
        return compare_classes(after.scores, baselines=baselines), seen
    before = measure(load_base(run, device=device, threads=threads), records, reporter, "base")
    first, second = common([before, after])
    assert isinstance(first, LanguageScores)
    assert isinstance(second, LanguageScores)
    return compare_language(first, second), seen


def baseline_hits(run: Run, records: Sequence[Record], scores: ClassScores) -> dict[str, Any]:
    """Rows that the cheap ways get right, learned from the training rows (the majority alone where these are gone)."""
    from affinage.data.records import Labelled
    from affinage.errors import InputError
    from affinage.evaluation.baselines import majority, tfidf_logistic
    from affinage.evaluation.class_metrics import correct
    from affinage.tuning.prepare import prepare

    labels, targets = list(scores.labels), scores.targets_R
    number = {label: place for place, label in enumerate(labels)}
    try:
        train = [record for record in prepare(run.recipe).records_on("train") if isinstance(record, Labelled)]
    except InputError:
        return {"majority class": correct(majority(targets, targets, labels))}
    known = [number[record.label] for record in train]
    texts = [record.text for record in records if isinstance(record, Labelled)]
    tfidf = tfidf_logistic([record.text for record in train], known, texts, targets, labels, seed=run.recipe.seed)
    usual = majority(known, targets, labels)
    return {"majority class": correct(usual), "tf-idf + logistic regression": correct(tfidf)}


def show(screen: Screen, result: dict[str, Any]) -> None:
    """An evaluation for people."""
    screen.say(str(result["sentence"]))
    metrics = {name: pair for name, pair in result.get("metrics", {}).items() if name != "confusion"}
    if metrics:
        rows = [(name, figure(pair["before"]), figure(pair["after"])) for name, pair in metrics.items()]
        screen.table(("metric", "before", "after"), rows)
    for name, value in result.get("baselines", {}).items():
        screen.say(f"baseline {name}: {result['metric']} {figure(value)}")
    lost = result.get("forgetting")
    if lost:
        screen.say(f"general text, {lost['metric']}: {figure(lost['before'])} -> {figure(lost['after'])}")
