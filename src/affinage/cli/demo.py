"""`affinage demo`: the journey on the bundled base and example data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path | None, typer.Option(help="Folder for the runs. Derived: runs/demo-<number>.")] = None,
    only: Annotated[
        str | None, typer.Option(help="One part: documents, cards, tickets, tickets-lora or stacked.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Every chapter, also the long ones.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail unless two parts gained for certain.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object as the last line on stdout.")] = False,
) -> None:
    """The journey's best chapters on the bundled base and example data: offline, a few minutes."""
    typer.echo("affinage demo: an invented cheese cellar adapts the bundled base `tiny` to its own words.", err=True)
    from affinage.demo.journey import journey
    from affinage.training.reporting import Console

    result = journey(out, Console(), only=only, full=full, strict=strict)
    if as_json:
        from affinage.cli.output import print_json

        print_json(result)
