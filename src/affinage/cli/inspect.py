"""`affinage inspect`: what a person's data are, what is wrong with them, and what a model would learn from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affinage.cli.output import Json, Screen, print_json
from affinage.cli.tune import read_recipe, told
from affinage.errors import InputError, nearest

if TYPE_CHECKING:
    from affinage.inspection.inspection import Inspection
    from affinage.inspection.material import Material


def inspect(
    data: Annotated[list[str] | None, typer.Argument(help=f"{told('data')} Or one recipe (.yaml).")] = None,
    model: Annotated[str | None, typer.Option(help=told("model"))] = None,
    rows: Annotated[int, typer.Option(min=0, help="Rows to show as tokens.")] = 3,
    row: Annotated[
        list[str] | None,
        typer.Option(metavar="N|FILE:LINE", help="Show this row as tokens instead; may be given again."),
    ] = None,
    redact: Annotated[
        bool, typer.Option("--redact", help="Put typed placeholders in the place of personal data and secrets.")
    ] = False,
    distance: Annotated[
        bool | None,
        typer.Option(help="How far the data are from what the model knows. Unless told: where the model is small."),
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write all of it as a page, too.")] = None,
    explain: Annotated[
        str | None, typer.Option(metavar="CODE", help="Say what a finding means and what to do, and leave.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any recipe key, as for `tune`; may be given again."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at data as `tune` would: counts, findings, and rows as tokens with the learned ones marked.

    Leaves with exit code 2 where `tune` would refuse.
    """
    if explain is not None:
        _explain(explain, as_json)
        return
    options = {"model": model} if model is not None else {}
    recipe = read_recipe(data or [], options | ({"redact": True} if redact else {}), set_ or [])
    if not recipe.data:
        raise InputError("no data given", fix="affinage inspect FILE, or `data:` in the recipe")
    if report is not None and report.suffix != ".html":
        raise InputError(f"--report {report}: a page's name ends in .html", fix=f"--report {report.stem}.html")
    from affinage.tuning.survey import survey

    material = survey(recipe)
    found = _look(material, picked=row or [], rows=rows, distance=distance)
    screen = Screen(as_json=as_json)
    _print(material, found, screen, whole=bool(row))
    if report is not None:
        from affinage.reports.inspection import write_inspection

        screen.say(f"\npage: {write_inspection(report, found.to_json())}")
    if as_json:
        print_json(found.to_json())
    if found.findings.of("error"):
        raise typer.Exit(2)


def _look(material: Material, *, picked: list[str], rows: int, distance: bool | None) -> Inspection:
    from affinage.inspection.checks import find
    from affinage.inspection.inspection import Inspection
    from affinage.inspection.overview import label_count, label_table
    from affinage.inspection.tokens import picked_rows, shown_rows, statistics
    from affinage.inspection.vocabulary import coverage

    far = None
    if distance is not False:
        from affinage.tuning.foreign import distance as measured

        far = measured(material, asked=bool(distance))
    return Inspection(
        material=material,
        findings=find(material),
        tokens=statistics(material),
        languages=material.languages,
        labels=label_table(material),
        label_count=label_count(material),
        distance=far,
        coverage=coverage(material.texts, material.recipe.seed),
        rows=picked_rows(material, picked) if picked else shown_rows(material, rows),
    )


def _print(material: Material, found: Inspection, screen: Screen, *, whole: bool) -> None:
    from rich.console import Console

    from affinage.cli import inspecting

    console = Console(file=screen.file, markup=False, highlight=False, emoji=False, soft_wrap=True)
    inspecting.print_data(material, found.tokens, console)
    inspecting.print_lengths(found.tokens, console)
    inspecting.print_languages(found.languages, console)
    inspecting.print_labels(found.labels, found.label_count, console)
    inspecting.print_coverage(found.coverage, console)
    inspecting.print_distance(found.distance, console)
    inspecting.print_findings(found.findings, console)
    inspecting.print_rows(found.rows, console, whole=whole)


def _explain(code: str, as_json: bool) -> None:
    """One entry of the catalogue of findings.

    Raises:
        InputError: there is no such code.
    """
    from dataclasses import asdict

    from affinage.inspection.catalogue import CATALOGUE

    entry = CATALOGUE.get(code)
    if entry is None:
        raise InputError(
            f"there is no finding {code!r}.{nearest(code, CATALOGUE)}", fix=f"known: {', '.join(CATALOGUE)}"
        )
    screen = Screen(as_json=as_json)
    screen.say(f"{entry.code} ({entry.severity}): {entry.says}")
    screen.say(f"  why it matters: {entry.why}")
    screen.say(f"  way out: {entry.fix}")
    if as_json:
        print_json(asdict(entry))
