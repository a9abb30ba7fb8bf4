"""`make bench`: the same jobs by affinage and its peers, each in a fresh process, taking turns. See README.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jobs import JOBS, Job, default_threads, write_work
from report import summarise, table

HERE = Path(__file__).parent
CLOCKS = {"wall": "wall-clock seconds", "cpu": "processor seconds (the machine did other work at the same time)"}
PACKAGES = ("torch", "transformers", "peft", "trl", "accelerate")


def main() -> None:
    """Measure, print the tables, keep the raw repetitions."""
    asked = _arguments()
    jobs = [job for job in JOBS if asked.only in (None, job.name)]
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs:
            work = Path(folder, f"{job.name}.json")
            write_work(
                job, work, model=asked.model, steps=asked.steps, batch_tokens=asked.batch_tokens, threads=asked.threads
            )
            runs = _take_turns(job, work, asked)
            found = {"summary": summarise(job, runs), "repetitions": runs}
            print(table(job.name, found["summary"]))
            if asked.out:
                _keep(asked, job, found)
    if asked.out:
        (asked.out / "README.md").write_text(page(asked.out), encoding="utf-8")
        print(f"kept in {asked.out}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare affinage with its peers on the same jobs.")
    parser.add_argument("--quick", action="store_true", help="one repetition of few steps, kept nowhere: does it run?")
    parser.add_argument("--only", choices=[job.name for job in JOBS], help="one job")
    parser.add_argument("--model", default="tiny", help="a causal model's folder (default: the bundled one)")
    parser.add_argument("--steps", type=int, default=20, help="optimizer steps of the SFT jobs")
    parser.add_argument("--batch-tokens", type=int, default=2048, help="padded tokens of one SFT step")
    parser.add_argument("--repetitions", type=int, default=3, help="times that every system takes its turn")
    parser.add_argument("--threads", type=int, default=default_threads(), help="CPU threads of every system")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: processor seconds, for a machine that others use too",
    )
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the raw repetitions")
    asked = parser.parse_args()
    if asked.quick:
        asked.steps, asked.repetitions, asked.out = 4, 1, None
    return asked


def _take_turns(job: Job, work: Path, asked: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Every system once a repetition; who goes first rotates."""
    runs: dict[str, list[dict[str, Any]]] = {system: [] for system in job.systems}
    for repetition in range(asked.repetitions):
        turn = repetition % len(job.systems)
        for system in (*job.systems[turn:], *job.systems[:turn]):
            runs[system].append(_measure(system, work, asked))
            one = runs[system][-1]
            said = f"{repetition + 1}/{asked.repetitions}: {one['speed']:,.0f} {job.figure}"
            print(f"{job.name} {system} {said}", file=sys.stderr, flush=True)
    return runs


def _measure(system: str, work: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """One fresh process.

    Raises:
        SystemExit: the system failed; its own words are shown.
    """
    result = work.with_suffix(".result.json")
    result.unlink(missing_ok=True)
    load = os.getloadavg()[0]
    environment = {**os.environ, "OMP_NUM_THREADS": str(asked.threads), "TOKENIZERS_PARALLELISM": "false"}
    environment |= {"BENCHMARK_CLOCK": asked.clock, "BENCHMARK_STARTED": repr(time.time())}
    command = [sys.executable, str(HERE / "worker.py"), system, str(work), str(result)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{system} failed:\n{done.stdout}{done.stderr}")
    return {**json.loads(result.read_text(encoding="utf-8")), "load_before": load}


def _machine() -> dict[str, Any]:
    names = [line.partition(":")[2].strip() for line in _cpu_lines() if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _settings(asked: argparse.Namespace) -> dict[str, Any]:
    return {key: getattr(asked, key) for key in ("model", "steps", "batch_tokens", "repetitions", "threads", "clock")}


def _keep(asked: argparse.Namespace, job: Job, found: dict[str, Any]) -> None:
    asked.out.mkdir(parents=True, exist_ok=True)
    content = {"job": job.name, "data": job.data, "settings": _settings(asked), "machine": _machine(), **found}
    (asked.out / f"{job.name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def page(folder: Path) -> str:
    """A page over every job that is kept in `folder`, each with the settings and the machine that it was measured with."""
    kept = [
        json.loads(path.read_text(encoding="utf-8")) for job in JOBS if (path := folder / f"{job.name}.json").exists()
    ]
    parts = [
        "# Measured\n\nWritten by `make bench`; the raw repetitions lie beside this page, how to read it stands in "
        "[../README.md](../README.md).\n"
    ]
    return "\n".join([*parts, *[f"{table(one['job'], one['summary'])}\n{_circumstances(one)}" for one in kept]])


def _circumstances(one: dict[str, Any]) -> str:
    here, settings = one["machine"], one["settings"]
    packages = ", ".join(f"{name} {number}" for name, number in here["packages"].items())
    steps = len(one["repetitions"]["affinage"][0]["losses"])
    batch = "" if one["job"].startswith("classify") else f" of at most {settings['batch_tokens']:,} padded tokens"
    return (
        f"{settings['repetitions']} repetitions in turns, {steps} steps{batch}, float32, {CLOCKS[settings['clock']]}; "
        f"{here['cpu']}, {settings['threads']} of {here['cores']} cores; {packages}.\n"
    )


if __name__ == "__main__":
    main()
