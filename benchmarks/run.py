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
    summaries, kept = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs:
            work = Path(folder, f"{job.name}.json")
            write_work(
                job, work, model=asked.model, steps=asked.steps, batch_tokens=asked.batch_tokens, threads=asked.threads
            )
            runs = _take_turns(job, work, asked)
            summaries[job.name] = summarise(job, runs)
            kept[job.name] = {"summary": summaries[job.name], "repetitions": runs}
            if asked.out:
                _keep(asked, job, kept[job.name])
    print(table(summaries))
    if asked.out:
        (asked.out / "README.md").write_text(_page(asked, summaries), encoding="utf-8")
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


def _page(asked: argparse.Namespace, summaries: dict[str, Any]) -> str:
    here, settings = _machine(), _settings(asked)
    packages = ", ".join(f"{name} {number}" for name, number in here["packages"].items())
    return f"""# Measured

Written by `make bench`; the raw repetitions lie beside this page, how to read it stands in [../README.md](../README.md).

Machine: {here["cpu"]}, {here["cores"]} cores, {settings["threads"]} of them used; {packages}.
Settings: model `{settings["model"]}`, {settings["steps"]} SFT steps of at most {settings["batch_tokens"]:,} padded tokens,
{settings["repetitions"]} repetitions in turns, float32; {CLOCKS[settings["clock"]]}.

{table(summaries)}"""


if __name__ == "__main__":
    main()
