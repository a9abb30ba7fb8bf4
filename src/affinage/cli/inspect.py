"""`affinage inspect`: what a person's data are, what is wrong with them, and what a model would learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from affinage.cli.output import Json, Screen, print_json
from affinage.cli.tune import read_recipe, told
from affinage.errors import InputError, nearest

if TYPE_CHECKING:
    from affinage.inspection.findings import Findings
    from affinage.inspection.material import Material
    from affinage.inspection.overview import Languages
    from affinage.inspection.tokens import TokenStatistics


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
    from affinage.inspection.checks import find
    from affinage.inspection.overview import label_table, languages
    from affinage.inspection.tokens import picked_rows, shown_rows, statistics
    from affinage.tuning.survey import survey

    material = survey(recipe)
    findings, counted, spoken = find(material), statistics(material), languages(material)
    labels = label_table(material)
    shown = picked_rows(material, row) if row else shown_rows(material, rows)
    _print(material, findings, counted, spoken, labels, shown, Screen(as_json=as_json), whole=bool(row))
    if as_json:
        print_json(
            {
                "kind": material.kind,
                "objective": material.objective,
                "model": recipe.model,
                "layouts": material.layouts,
                "ledger": material.ledger.to_json(),
                "findings": findings.to_json(),
                "tokens": counted.to_json() if counted else None,
                "languages": spoken.shares if spoken else {},
                "labels": labels,
                "rows": shown,
            }
        )
    if findings.of("error"):
        raise typer.Exit(2)


def _print(
    material: Material,
    findings: Findings,
    counted: TokenStatistics | None,
    spoken: Languages | None,
    labels: list[dict[str, Any]],
    shown: list[dict[str, Any]],
    screen: Screen,
    *,
    whole: bool,
) -> None:
    from rich.console import Console

    from affinage.cli import inspecting

    console = Console(file=screen.file, markup=False, highlight=False, emoji=False, soft_wrap=True)
    inspecting.print_data(material, counted, console)
    inspecting.print_lengths(counted, console)
    inspecting.print_languages(spoken, console)
    inspecting.print_labels(labels, console)
    inspecting.print_findings(findings, console)
    inspecting.print_rows(shown, console, whole=whole)


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
