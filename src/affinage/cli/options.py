"""Options that mean the same in several commands."""

from __future__ import annotations

from typing import Annotated

import typer

Column = Annotated[
    list[str] | None, typer.Option(metavar="ROLE=NAME", help="Which column holds what, such as text=body.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads.")]
