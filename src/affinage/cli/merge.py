"""`affinage merge`: full weights from a run, proven equal on logits or refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from affinage.cli.options import Device, Threads
from affinage.cli.output import Json, Screen, print_json


def merge(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[Path, typer.Option(help="The folder to write, in Hugging Face's layout.")],
    tolerance: Annotated[float, typer.Option(help="Largest difference of logits that passes.")] = 1e-4,
    device: Device = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Write a run's adapter into its base. Refused (exit code 3) where merged and attached differ."""
    from affinage.device import machine
    from affinage.models.merging import merge_run
    from affinage.reports.folder import read_run
    from affinage.runs import open_run

    found = open_run(run)
    texts = [sample["prompt"] for sample in read_run(found.folder).samples if sample.get("prompt")]
    report = merge_run(found.folder, out, machine(device, threads=threads), texts=texts, tolerance=tolerance)
    screen = Screen(as_json=as_json)
    screen.say(report.sentence())
    screen.say(f"wrote {out}")
    if as_json:
        print_json({**dataclasses.asdict(report), "sentence": report.sentence()})
