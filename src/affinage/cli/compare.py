"""`affinage compare`: runs side by side, with intervals, paired differences and samples."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affinage.cli.options import Device, Threads
from affinage.cli.output import Json, Screen, figure, print_json
from affinage.errors import InputError

if TYPE_CHECKING:
    from affinage.evaluation.scores import HeadScores
    from affinage.runs import Run
    from affinage.training.reporting import Reporter

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Runs compared</title>
<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0}
td,th{border:1px solid #ccc;padding:.3rem .6rem;text-align:left;vertical-align:top}
td{white-space:pre-wrap}</style><h1>Runs compared</h1>
<table><tr>{% for head in heads %}<th>{{ head }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}</table>
{% for line in pairs %}<p>{{ line }}</p>{% endfor %}
{% if samples %}<h2>Samples</h2><table><tr><th>prompt</th><th>reference</th>
{% for name in names %}<th>{{ name }}</th>{% endfor %}</tr>
{% for s in samples %}<tr><td>{{ s.prompt }}</td><td>{{ s.reference }}</td>
{% for name in names %}<td>{{ s.outputs.get(name, "") }}</td>{% endfor %}</tr>{% endfor %}</table>{% endif %}</html>
"""


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two or more run folders.")],
    data: Annotated[
        list[str] | None, typer.Option(help="Measure all of them on these data; may be given again.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the comparison as one HTML page.")] = None,
    device: Device = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Runs side by side: figures with intervals, paired differences on shared held-out rows, samples."""
    from affinage.cli.runs import summary
    from affinage.files import write_text
    from affinage.runs import open_run
    from affinage.training.reporting import Console

    if len(runs) < 2:
        raise InputError("one run alone cannot be compared", fix="name two or more; `affinage eval RUN` is for one")
    found = [open_run(folder) for folder in runs]
    for run in found:
        _ = run.evaluation  # an unfinished run is refused, with the command that finishes it
    rows = [summary(run) for run in found]
    pairs, why = _paired(found, data, Console(), device=device, threads=threads)
    samples = side_by_side(found)
    screen = Screen(as_json=as_json)
    heads = ("run", "objective", "train", "metric", "before", "after", "helped")
    table = [_cells(row) for row in rows]
    said = [_sentence(pair) for pair in pairs] or [f"no paired difference: {why}"]
    screen.table(heads, table)
    for line in said:
        screen.say(line)
    _say_samples(screen, samples)
    if out is not None:
        write_text(out, _page(heads=heads, rows=table, pairs=said, samples=samples, names=[row["run"] for row in rows]))
        screen.say(f"wrote {out}")
    if as_json:
        print_json(
            {"runs": rows, "paired": pairs, "not_paired_because": why, "samples": samples, "out": out and str(out)}
        )


def _paired(
    runs: Sequence[Run], data: Sequence[str] | None, reporter: Reporter, *, device: str | None, threads: int | None
) -> tuple[list[dict[str, Any]], str]:
    """Each run against the first, on the same rows; or why that cannot be."""
    from affinage.cli.measuring import common, held_out_by_all, measure, records_for
    from affinage.cli.preferring import measure_preferences
    from affinage.use import load

    if len({_measured_by(run) for run in runs}) > 1:
        return [], "classifiers, language models and models of preferences have no figure in common"
    if len({task_of_run(run) for run in runs}) > 1:
        return [], "one label, several labels and numbers have no figure in common"
    try:
        records = records_for(runs[0], data) if data else held_out_by_all(runs)
    except InputError as error:
        if data:
            raise
        return [], error.message
    measured = []
    for run in runs:
        if _measured_by(run) == "preferences":
            measured.append(measure_preferences(run, records, reporter, device=device, threads=threads))
        else:
            measured.append(measure(load(run.folder, device=device, threads=threads), records, reporter, run.name))
        gc.collect()
    scores = common(measured)
    pairs = []
    for run, other in zip(runs[1:], scores[1:], strict=True):
        pair = difference(scores[0], other)
        if pair is None:
            return [], "the tokenizers differ, and no row knows its bytes"
        pairs.append({"run": str(run.folder), "than": str(runs[0].folder), **pair})
    return pairs, ""


def _measured_by(run: Run) -> str:
    """What a run's figure is made of."""
    from affinage.wiring import OBJECTIVE_TABLE

    entry = OBJECTIVE_TABLE[str(run.plan["objective"])]
    return "preferences" if entry.compares else "likelihood" if entry.language else "labels"


def task_of_run(run: Run) -> str:
    """What the run's head answers; runs of the first release knew one label a row."""
    asked = run.plan["settings"].get("head.task") or {}
    return str(asked.get("value") or "single") if run.plan["objective"] == "classify" else ""


def difference(first: Any, second: Any) -> dict[str, Any] | None:
    """The second scores minus the first: the heads' figure, nats per token, or bits per byte where the tokens differ."""
    import math

    import numpy as np

    from affinage.evaluation.intervals import mean_interval, paired, verdict
    from affinage.evaluation.scores import HeadScores

    if isinstance(first, HeadScores):
        return _between_heads(first, second)
    if np.array_equal(first.tokens_R, second.tokens_R):
        metric, weights, one, two = "loss", first.tokens_R, first.nll_R, second.nll_R
    elif first.bytes_R.all() and np.array_equal(first.bytes_R, second.bytes_R):
        metric, weights = "bits_per_byte", first.bytes_R
        one, two = first.nll_R / math.log(2), second.nll_R / math.log(2)
    else:
        return None
    found = paired(one, two, weights)
    values = {name: mean_interval(values, weights).to_json() for name, values in (("first", one), ("second", two))}
    figures = {"difference": found.difference.to_json(), "p": found.p, "better": verdict(found, False)}
    return {"metric": metric, "rows": found.rows, **values, **figures}


def _between_heads(first: HeadScores, second: HeadScores) -> dict[str, Any]:
    from affinage.evaluation.intervals import verdict

    found = second.change_from(first)
    return {
        "metric": second.metric,
        "rows": found.rows,
        "first": first.headline.to_json(),
        "second": second.headline.to_json(),
        "difference": found.difference.to_json(),
        "p": found.p,
        "better": verdict(found, second.higher_is_better),
    }


def side_by_side(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Samples of the same prompts: `outputs` holds what each run says after tuning."""
    from affinage.reports.folder import read_run

    merged: dict[str, dict[str, Any]] = {}
    for run in runs:
        for sample in read_run(run.folder).samples:
            prompt = str(sample.get("prompt", ""))
            row = merged.setdefault(prompt, {"prompt": prompt, "reference": sample.get("reference", ""), "outputs": {}})
            row["outputs"][str(run.folder)] = sample.get("after", "")
    return sorted(merged.values(), key=lambda row: -len(row["outputs"]))


def _cells(row: dict[str, Any]) -> list[str]:
    figures = [figure(row["before"]), figure(row["after"])]
    return [
        row["run"],
        row["objective"] or "-",
        row["train"] or "-",
        row["metric"] or "-",
        *figures,
        row["helped"] or "-",
    ]


def _sentence(pair: dict[str, Any]) -> str:
    said = {"yes": "is better than", "no": "is worse than", "not separable": "cannot be told from"}[pair["better"]]
    values = f"{pair['metric']} {pair['second']['value']:.4g} against {pair['first']['value']:.4g}"
    return (
        f"{pair['run']} {said} {pair['than']}: {values}, difference {figure(pair['difference'])}, {pair['rows']:,} rows"
    )


def _say_samples(screen: Screen, samples: Sequence[dict[str, Any]]) -> None:
    for row in samples[:5]:
        screen.say()
        screen.pairs([("prompt", _short(row["prompt"])), ("reference", _short(row["reference"]))])
        screen.pairs([(name, _short(text)) for name, text in row["outputs"].items()])


def _short(text: str, size: int = 160) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= size else line[: size - 1] + "…"


def _page(**values: Any) -> str:
    from jinja2 import Environment

    return Environment(autoescape=True).from_string(PAGE).render(**values)
