"""`affinage tune`: one run from a file of data, from a recipe, or from where it was stopped."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affinage.cli.output import Json, print_json
from affinage.errors import InputError
from affinage.recipe import Recipe, load_recipe, make_recipe, merge, parse_overrides

if TYPE_CHECKING:
    from affinage.runs import Run
    from affinage.tuning.prepared import Prepared

INTERRUPTED = 130


def told(key: str) -> str:
    """A recipe key's own description, as the help of the option that sets it."""
    return str(Recipe.model_fields[key].description)


def tune(
    data: Annotated[list[str] | None, typer.Argument(help=f"{told('data')} Or one recipe (.yaml).")] = None,
    model: Annotated[str | None, typer.Option(help=told("model"))] = None,
    objective: Annotated[str | None, typer.Option(help=told("objective"))] = None,
    train: Annotated[str | None, typer.Option(help=told("train"))] = None,
    out: Annotated[str | None, typer.Option(help=told("out"))] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Any recipe key (`affinage recipe explain`); may be given again."
        ),
    ] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with a run that was stopped.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and leave.")] = False,
    as_json: Json = False,
) -> None:
    """Adapt a model to your data and measure what changed. The plan is printed first."""
    named = {"model": model, "objective": objective, "train": train, "out": out}
    options = {key: value for key, value in named.items() if value is not None}
    if resume is not None:
        if data or options or set_ or dry_run:
            raise InputError(
                "--resume takes no other settings: the run goes on as it was planned", fix="leave them out"
            )
        _finish(_work(resume=resume), as_json)
        return
    recipe = read_recipe(data or [], options, set_ or [])
    if dry_run:
        _show_dry(recipe, as_json)
        return
    _finish(_work(recipe=recipe), as_json)


def read_recipe(data: list[str], options: dict[str, Any], overrides: list[str]) -> Recipe:
    """A recipe file or data files, then `--set`, then the named options on top.

    Raises:
        InputError: a recipe stands beside other files, or a value is wrong.
    """
    recipes = [name for name in data if name.lower().endswith((".yaml", ".yml"))]
    if recipes and len(data) > 1:
        raise InputError(
            f"{recipes[0]} is a recipe: it names its data itself", fix="give the recipe alone, or data files alone"
        )
    values = load_recipe(Path(recipes[0])) if recipes else {"data": data}
    for part in (parse_overrides(overrides), options):
        values = merge(values, part)
    return make_recipe(values, where=recipes[0] if recipes else "settings")


def _work(*, recipe: Recipe | None = None, resume: Path | None = None) -> Run:
    """Tune or resume; a second Ctrl-C leaves with the command that goes on."""
    from affinage.training.reporting import Console
    from affinage.tuning import run as tuning

    class Watched(Console):
        """Remembers where the plan says that the run goes."""

        folder = str(resume or "")

        def table(self, title: str, rows: Any) -> None:
            self.folder = dict(rows).get("out", self.folder) if title == "plan" else self.folder
            super().table(title, rows)

    reporter = Watched()
    try:
        return (
            tuning.resume(resume, reporter=reporter) if resume else tuning.tune(recipe or Recipe(), reporter=reporter)
        )
    except KeyboardInterrupt:
        started = reporter.folder and Path(reporter.folder, "recipe.yaml").exists()
        hint = f"\n  -> go on with: affinage tune --resume {reporter.folder}" if started else ""
        print(f"interrupted{hint}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def _finish(run: Run, as_json: bool) -> None:
    if as_json:
        print_json({"run": str(run.folder), "evaluation": run.evaluation, "ledger": run.ledger})
    if run.evaluation.get("training", {}).get("ended") == "interrupted":
        print(f"stopped early  -> go on with: affinage tune --resume {run.folder}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)


def _show_dry(recipe: Recipe, as_json: bool) -> None:
    from affinage.training.reporting import Console
    from affinage.tuning.run import plan_only

    prepared = plan_only(recipe, reporter=Console())
    if as_json:
        print_json({"plan": prepared.plan.to_json(), "ledger": counts(prepared)})


def counts(prepared: Prepared) -> dict[str, Any]:
    """What is known of the ledger before training: `train` rows may be reached or not."""
    sides = {side: len(numbers) for side, numbers in prepared.sides.items()}
    dropped = dict(sorted(Counter(drop.reason for drop in prepared.drops).items()))
    rows = [row for some in prepared.rows_of.values() for row in some]
    truncated = sum(row.truncated for row in rows)
    return {"read": prepared.read, **sides, "dropped": dropped, "truncated_tokens": truncated}
