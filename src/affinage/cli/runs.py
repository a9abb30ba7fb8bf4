"""`affinage runs`: what was tuned below this folder, how it went, and the end of what is not needed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affinage.cli.output import Json, Screen, print_json
from affinage.errors import AffinageError, InputError

if TYPE_CHECKING:
    from affinage.runs import Run

app = typer.Typer(add_completion=False, rich_markup_mode=None, help="List, show, plot and delete runs.")


@app.callback(invoke_without_command=True)
def listing(
    context: typer.Context,
    below: Annotated[Path, typer.Option(help="The folder below which to look.")] = Path("."),
    as_json: Json = False,
) -> None:
    """List, show, plot and delete runs."""
    if context.invoked_subcommand:
        return
    from affinage.runs import find_runs

    if not below.is_dir():
        raise InputError(f"{below}: no such folder", fix="name the folder that holds your runs with --below")
    found = [summary(run) for run in find_runs(below)]
    screen = Screen(as_json=as_json)
    if not found:
        screen.say("no runs below this folder; start one with: affinage tune DATA")
    else:
        heads = ("run", "objective", "train", "rows", "before -> after", "helped", "when", "state")
        screen.table(heads, [_cells(row) for row in found])
    if as_json:
        print_json({"runs": found})


@app.command()
def show(run: Annotated[Path, typer.Argument(help="A run folder.")], as_json: Json = False) -> None:
    """One run: what was asked, what came of it, and what became of the rows."""
    from affinage.data.ledger import Ledger
    from affinage.runs import open_run

    found = open_run(run)
    row = summary(found)
    plan, ledger, evaluation = (part(found, name) for name in ("plan.json", "ledger.json", "evaluation.json"))
    lines = [
        ("run", str(found.folder)),
        ("state", row["state"]),
        ("model", str(row["model"])),
        ("data", ", ".join(row["data"])),
    ]
    if plan:
        share = f"{plan['trainable_parameters']:,} of {plan['parameters']:,} weights moved"
        lines += [("objective", str(row["objective"])), ("train", f"{row['train']}: {share}")]
    if ledger:
        counts = Ledger(**{key: value for key, value in ledger.items() if key != "schema"})
        lines += [("rows" if not number else "", text) for number, text in enumerate(counts.lines())]
    if evaluation:
        lines.append(("result", str(evaluation["sentence"])))
    if (found.folder / "report.html").exists():
        lines.append(("report", str(found.folder / "report.html")))
    if row["state"] == "stopped":
        lines.append(("go on", f"affinage tune --resume {found.folder}"))
    Screen(as_json=as_json).pairs(lines)
    if as_json:
        recipe = found.recipe.model_dump(mode="json")
        print_json({**row, "recipe": recipe, "plan": plan, "ledger": ledger, "evaluation": evaluation})


@app.command()
def plot(run: Annotated[Path, typer.Argument(help="A run folder.")], as_json: Json = False) -> None:
    """Say where the run's report with its plots lies."""
    from affinage.runs import open_run

    report = open_run(run).folder / "report.html"
    if not report.exists():
        raise InputError(f"{run} has no report yet", fix=f"finish it: affinage tune --resume {run}")
    Screen(as_json=as_json).say(str(report))
    if as_json:
        print_json({"report": str(report)})


@app.command()
def delete(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete runs, after asking."""
    from affinage.runs import delete_run, open_run

    chosen = [open_run(folder) for folder in runs]
    _refuse_bases(chosen)
    if not yes:
        if not sys.stdin.isatty():
            raise InputError("deleting needs a yes", fix="add --yes where nobody can be asked")
        typer.confirm(f"delete {', '.join(map(str, runs))}?", abort=True, err=True)
    for run in chosen:
        delete_run(run)
        Screen(as_json=as_json).say(f"deleted {run.folder}")
    if as_json:
        print_json({"deleted": [str(run.folder) for run in chosen]})


def summary(run: Run) -> dict[str, Any]:
    """One run in a line; what is not there yet is None."""
    plan, ledger, evaluation = (part(run, name) for name in ("plan.json", "ledger.json", "evaluation.json"))
    try:
        recipe = run.recipe
        model, data = recipe.model, list(recipe.data)
    except AffinageError:
        model, data = None, []
    began = datetime.fromtimestamp((run.folder / "recipe.yaml").stat().st_mtime)
    return {
        "run": str(run.folder),
        "state": "finished" if run.finished else "stopped",
        "model": model,
        "data": data,
        "objective": plan.get("objective"),
        "train": plan.get("train"),
        "rows": ledger.get("read"),
        "metric": evaluation.get("metric"),
        "before": evaluation.get("before"),
        "after": evaluation.get("after"),
        "helped": evaluation.get("helped"),
        "when": began.isoformat(timespec="minutes"),
    }


def part(run: Run, name: str) -> dict[str, Any]:
    """One of the run's files, empty where it is missing or broken."""
    try:
        return run.read(name)
    except InputError:
        return {}


def _cells(row: dict[str, Any]) -> list[str]:
    before = f"{row['before']['value']:.3f}" if row["before"] else "-"
    change = f"{row['metric']} {before} -> {row['after']['value']:.3f}" if row["after"] else "-"
    rows = f"{row['rows']:,}" if row["rows"] is not None else "-"
    start = [row["run"], row["objective"] or "-", row["train"] or "-", rows]
    return [*start, change, row["helped"] or "-", row["when"].replace("T", " "), row["state"]]


def _refuse_bases(chosen: Sequence[Run]) -> None:
    """A run that another one starts from is still needed."""
    from affinage.runs import find_runs

    gone = {run.folder.resolve() for run in chosen}
    for other in find_runs(Path()):
        base = summary(other)["model"]
        if base and other.folder.resolve() not in gone and Path(base).resolve() in gone:
            raise InputError(
                f"{other.folder} starts from {base} and cannot be used without it", fix="delete both, or keep both"
            )
