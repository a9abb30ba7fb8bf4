"""`affinage predict`: apply a run to every row of a file; the order is kept, and a stopped prediction goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affinage.cli.options import Column, Device, Overwrite, Threads
from affinage.cli.output import Json, Screen, figure, print_json

if TYPE_CHECKING:
    from affinage.cli.inputs import Item
    from affinage.use import Adapted

AT_ONCE = {
    "classify": 512,
    "sft": 64,
    "pretrain": 64,
    "dpo": 64,
    "reward": 64,
}  # rows between two writes: what a kill can cost


def predict(
    run: Annotated[str, typer.Argument(help="A run folder.")],
    data: Annotated[list[str], typer.Argument(help="Files, folders or `hub:owner/name`; labels and answers may lack.")],
    out: Annotated[Path, typer.Option(help="The file to write: .jsonl, .csv or .parquet.")],
    column: Column = None,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 always takes the most likely token.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of drawn answers.")] = 0,
    overwrite: Overwrite = False,
    device: Device = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Apply a run to every row of a file: labels with probabilities, numbers, answers, rewards of answers, or how
    likely the text is."""
    from affinage.cli.inputs import read_items
    from affinage.cli.partial import PartialFile
    from affinage.recipe import parse_overrides
    from affinage.runs import open_run
    from affinage.training.reporting import Console

    found = open_run(run)
    objective = str(found.plan["objective"])
    settings = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
    columns = parse_overrides(column) if column else found.recipe.columns
    items = read_items(
        data,
        objective=objective,
        columns={role: str(name) for role, name in columns.items()},
        label_separator=found.recipe.label_separator,
    )
    about = {
        "run": found.read("fingerprint.json"),
        "rows": len(items),
        **(settings if objective in ("sft", "dpo") else {}),
    }
    part = PartialFile(out, about, overwrite=overwrite)
    done = part.resume([item.id for item in items])
    reporter = Console()
    if done:
        reporter.note(f"going on after {done:,} of {len(items):,} rows")
    if done < len(items):
        from affinage.use import load

        model = load(run, device=device, threads=threads, too_long=_own_or_drop(found.recipe.too_long))
        with reporter.stage("predicting", len(items)) as advance:
            for lines in predictions(model, objective, items[done:], settings):
                done = part.append(lines)
                advance(done)
    lines = part.finish()
    summary = summarise(items, lines)
    _say(Screen(as_json=as_json), out, summary)
    if as_json:
        print_json({"out": str(out), "objective": objective, **summary})


def predictions(
    model: Adapted, objective: str, items: Sequence[Item], settings: dict[str, Any]
) -> Iterator[list[dict[str, Any]]]:
    """One line for each item, in order, a block at a time."""
    ways = {"classify": _labels, "sft": _answers, "dpo": _answers, "pretrain": _likelihoods, "reward": _rewards}
    make = ways[objective]
    size = AT_ONCE[objective]
    for start in range(0, len(items), size):
        block = items[start : start + size]
        good = [item for item in block if not item.error]
        made = dict(zip(map(id, good), make(model, good, settings), strict=True))
        yield [{"id": item.id, **made.get(id(item), {"error": item.error})} for item in block]


def summarise(items: Sequence[Item], lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts for the closing words, and a figure with its interval where labels stand beside the texts."""
    errors = Counter(str(line["error"]).split(":")[0] for line in lines if line.get("error"))
    labels = Counter(str(name) for line in lines for name in _names(line))
    summary: dict[str, Any] = {"rows": len(lines), "errors": dict(errors)}
    if labels:
        summary["labels"] = dict(labels.most_common())
    return {**summary, **_figure(items, lines)}


def _names(line: dict[str, Any]) -> list[Any]:
    """The labels that a line says."""
    if "labels" in line:
        return list(line["labels"])
    return [line["label"]] if line.get("label") is not None else []


def _figure(items: Sequence[Item], lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How right the lines are where the truth stands beside the texts, in the figure of the run's task."""
    from affinage.data.targets import as_names, as_number
    from affinage.evaluation.intervals import mean_interval

    told = [(item.truth, line) for item, line in zip(items, lines, strict=True) if item.truth is not None]
    single = [(true, line["label"]) for true, line in told if "label" in line]
    if single:
        return {"accuracy": mean_interval([float(as_names(true) == (said,)) for true, said in single]).to_json()}
    several = [(set(as_names(true)), set(line["labels"])) for true, line in told if "labels" in line]
    if several:
        values = [2 * len(true & said) / (len(true) + len(said)) for true, said in several]
        return {"row_f1": mean_interval(values, [1.0] * len(values)).to_json()}
    pairs = [(as_number(true), line["value"]) for true, line in told if "value" in line]
    squares = [(true - said) ** 2 for true, said in pairs if true is not None]
    if squares:
        found = mean_interval(squares, [1.0] * len(squares))
        return {"rmse": found.mapped(lambda square: max(0.0, square) ** 0.5).to_json()}
    return {}


def _labels(model: Adapted, items: Sequence[Item], settings: dict[str, Any]) -> list[dict[str, Any]]:
    rows, drops = model.rows_of([item.text for item in items], [item.source for item in items])
    reasons = {str(drop.source): f"{drop.reason}: {drop.detail}".rstrip(": ") for drop in drops}
    found = iter(model.classify_rows([row for row in rows if row is not None]))
    return [
        next(found) if row is not None else {"error": reasons.get(str(item.source), "left out")}
        for item, row in zip(items, rows, strict=True)
    ]


def _answers(model: Adapted, items: Sequence[Item], settings: dict[str, Any]) -> list[dict[str, Any]]:
    from affinage.data.layouts.prompts import as_data

    prompts = [item.prompt for item in items if item.prompt is not None]
    errors = [model.refused(prompt) for prompt in prompts]
    good = [prompt for prompt, error in zip(prompts, errors, strict=True) if not error]
    texts = iter(model.generate(good, **settings))
    lines: list[dict[str, Any]] = []
    for prompt, error in zip(prompts, errors, strict=True):
        turns = prompt.messages
        shown = {"prompt": turns[0].content if len(turns) == 1 else as_data(turns)}
        lines.append({**shown, "error": error} if error else {**shown, "completion": next(texts)})
    return lines


def _likelihoods(model: Adapted, items: Sequence[Item], settings: dict[str, Any]) -> list[dict[str, Any]]:
    return list(model.likelihood([item.text for item in items]))


def _rewards(model: Adapted, items: Sequence[Item], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """`reward` of a row with one answer, `rewards` of one with several, in their order."""
    lines: list[dict[str, Any]] = []
    for item, found in zip(
        items, model.rewards_of([(i.prompt.messages, i.answers) for i in items if i.prompt]), strict=True
    ):
        if found is None:
            lines.append({"error": "too-long"})
        else:
            lines.append({"reward": found[0]} if len(item.answers) == 1 else {"rewards": found})
    return lines


def _own_or_drop(too_long: str) -> Any:
    """A row that does not fit is one line with an error, never the end of the file."""
    return "truncate" if too_long == "truncate" else "drop"


def _say(screen: Screen, out: Path, summary: dict[str, Any]) -> None:
    errors = sum(summary["errors"].values())
    rows = [("wrote", f"{out}: {summary['rows']:,} rows" + (f", {errors:,} of them errors" if errors else ""))]
    rows += (
        [("errors", ", ".join(f"{reason} {count:,}" for reason, count in summary["errors"].items()))] if errors else []
    )
    if summary.get("labels"):
        rows.append(
            ("labels", ", ".join(f"{label} {count:,}" for label, count in list(summary["labels"].items())[:10]))
        )
    rows += [
        (name, f"{figure(summary[key])} (rows that the run learned from flatter it: see `affinage eval`)")
        for key, name in (("accuracy", "accuracy"), ("row_f1", "F1 per row"), ("rmse", "root mean squared error"))
        if summary.get(key)
    ]
    screen.pairs(rows)
