"""How long one waits: for the command line's help, and from the start of a process to the end of its first optimizer
step on the bundled base, against the floor that importing torch, transformers and peft sets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs import HF, TRL, Job, Shape

NAME = "start-up"
FLOOR, HELP, TUNE, TUNE_ALL = "imports", "help", "tune", "tune-scored"
SYSTEMS = (FLOOR, HELP, TUNE, TUNE_ALL, HF, TRL)
SAYS = {
    FLOOR: "importing torch, transformers and peft",
    HELP: "`affinage --help`",
    TUNE: "`affinage tune` to the first step, nothing held out",
    TUNE_ALL: "`affinage tune` to the first step, held-out rows scored before",
    HF: "HF Trainer to the first step",
    TRL: "TRL to the first step",
}
WITHIN = 2.0  # seconds above the floor
BASE = Shape(256, 5, 4, 2, 704, 4096)  # the bundled one
PEER_JOB = Job("first-step", "sft", (HF, TRL), shape="bundled", steps=1, warm_up=0)
_TIMES = 5  # that the help is asked for
_QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}


def measure(system: str, threads: int, peer: Callable[[str], dict[str, Any]]) -> float:
    """Seconds. `peer` has a system do its first step.

    Raises:
        SystemExit: a process failed; its own words are shown.
    """
    if system in (HF, TRL):
        return float(peer(system)["seconds_to_first_step"])
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "AFFINAGE_CACHE": folder, "HF_HUB_OFFLINE": "1"}
        if system == FLOOR:
            return _run([sys.executable, "-c", "import torch, transformers, peft"], environment)
        if system == HELP:
            command = [sys.executable, "-m", "affinage", "--help"]
            return min(_run(command, environment) for _ in range(_TIMES))
        return _first_step(Path(folder), environment, threads, scored=system == TUNE_ALL)


def bundled() -> Path:
    """The base that comes with affinage."""
    return _package() / "models" / "tiny"


def summarise(runs: dict[str, list[float]]) -> dict[str, Any]:
    """Medians, what each is above the floor of its repetition, and whether ours is near enough."""
    from report import spread

    above = {
        name: spread([value - floor for value, floor in zip(values, runs[FLOOR], strict=True)])
        for name, values in runs.items()
    }
    met = {name: above[name]["median"] <= WITHIN for name in (TUNE, TUNE_ALL)}
    return {"seconds": {name: spread(values) for name, values in runs.items()}, "above": above, "met": met}


def table(summary: dict[str, Any]) -> str:
    """Markdown."""
    lines = ["## start-up", "", "| what | seconds | above the imports |", "| --- | ---: | ---: |"]
    for name, own in summary["seconds"].items():
        above = "" if name in (FLOOR, HELP) else f"{summary['above'][name]['median']:.1f}"
        lines.append(f"| {SAYS[name]} | {own['median']:.2f} ({own['low']:.2f} to {own['high']:.2f}) | {above} |")
    goals = [
        f"- first step within {WITHIN:g} s of the imports, {SAYS[name]}: **{'met' if met else 'not met'}** "
        f"({summary['above'][name]['median']:.1f} s)"
        for name, met in summary["met"].items()
    ]
    return "\n".join([*lines, "", *goals, ""])


def _run(command: list[str], environment: dict[str, str]) -> float:
    began = time.time()
    done = subprocess.run(command, env=environment, text=True, **_QUIET)  # type: ignore[call-overload]
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return time.time() - began


def _first_step(folder: Path, environment: dict[str, str], threads: int, *, scored: bool) -> float:
    """Until the log has its first line."""
    out, data = folder / "run", _package() / "examples" / "instructions.jsonl"
    command = [sys.executable, "-m", "affinage", "tune", str(data), "--train", "lora", "--out", str(out)]
    chosen = ["rank=8", "steps=2", "batch_tokens=2048", f"threads={threads}", "samples=0"]
    for setting in chosen if scored else [*chosen, "held_out=0", "validation=0"]:
        command += ["--set", setting]
    began, log = time.time(), out / "metrics.jsonl"
    process = subprocess.Popen(command, env=environment, text=True, **_QUIET)  # type: ignore[call-overload]
    while not (log.exists() and _has_step(log)):
        if process.poll() is not None:
            raise SystemExit(f"affinage tune failed:\n{process.stderr.read()}")
        time.sleep(0.005)
    seconds = time.time() - began
    process.kill()
    process.communicate()
    return seconds


def _has_step(log: Path) -> bool:
    first = log.read_text(encoding="utf-8").partition("\n")
    return bool(first[1]) and "loss" in json.loads(first[0])


def _package() -> Path:
    from importlib.util import find_spec

    found = find_spec("affinage")
    if found is None or found.origin is None:
        raise SystemExit("affinage is not installed: pip install -e .")
    return Path(found.origin).parent
