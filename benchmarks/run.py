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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import growth
import startup
from jobs import JOBS, SAYS, SHAPES, Job, default_threads
from report import limits_line, summarise, table
from work import save_model, write_work

HERE = Path(__file__).parent
PACKAGES = ("torch", "transformers", "peft", "trl", "accelerate")
NAMES = (*(job.name for job in JOBS), startup.NAME, growth.NAME)


def main() -> None:
    """Measure, print the tables, keep the raw repetitions."""
    asked, began = _arguments(), time.time()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(asked, Path(folder))
        for job in JOBS:
            if asked.only in (None, job.name):
                bench.job(job)
        if asked.only in (None, startup.NAME):
            bench.startup()
        if asked.only in (None, growth.NAME):
            bench.growth()
    if asked.out:
        (asked.out / "README.md").write_text(page(asked.out), encoding="utf-8")
        print(f"kept in {asked.out}")
    print(f"took {(time.time() - began) / 60:.1f} minutes")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare affinage with its peers on the same jobs.")
    parser.add_argument(
        "--quick", action="store_true", help="one repetition of few short rows, kept nowhere: does it run?"
    )
    parser.add_argument("--only", choices=NAMES, help="one job")
    parser.add_argument("--repetitions", type=int, default=3, help="times that every system takes its turn")
    parser.add_argument("--threads", type=int, default=default_threads(), help="CPU threads of every system")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the raw repetitions")
    asked = parser.parse_args()
    if asked.quick:
        asked.repetitions, asked.out = 1, None
    return asked


class Bench:
    """One run of the benchmarks.

    Args:
        asked: the command line's options.
        folder: takes models, works and results while it runs.
    """

    def __init__(self, asked: argparse.Namespace, folder: Path) -> None:
        self.asked = asked
        self.folder = folder

    def job(self, job: Job) -> None:
        """Every system once a repetition."""
        path = self.folder / f"{job.name}.json"
        work = write_work(job, path, model=self.model(job.shape), threads=self.asked.threads, quick=self.asked.quick)
        runs = self.turns(job.name, job.systems, lambda system: self.worker(system, path))
        summary = summarise(job, work["measures"], runs)
        print(
            table(job.name, summary, goals=not self.asked.quick),
            limits_line(summary["limits"]),
            "",
            sep="\n",
            flush=True,
        )
        self.keep(job.name, {"measures": work["measures"], "steps": len(work["steps"]), "summary": summary}, runs)

    def startup(self) -> None:
        """The command line, and first steps."""
        path = self.folder / "first-step.json"
        job, SHAPES["bundled"] = startup.PEER_JOB, startup.BASE
        write_work(job, path, model=startup.bundled(), threads=self.asked.threads, quick=self.asked.quick)

        def peer(system: str) -> dict[str, Any]:
            return self.worker(system, path)

        runs = self.turns(
            startup.NAME, startup.SYSTEMS, lambda system: startup.measure(system, self.asked.threads, peer)
        )
        summary = startup.summarise(runs)
        print(startup.table(summary), flush=True)
        self.keep(startup.NAME, {"summary": summary}, runs)

    def growth(self) -> None:
        """One repetition: the points are many."""
        path = self.folder / "growth.json"
        work = growth.write_work(path, self.model, self.asked.threads, quick=self.asked.quick)
        runs = self.turns(growth.NAME, growth.SYSTEMS, lambda system: self.worker(system, path), repetitions=1)
        summary = growth.summarise(work, runs)
        print(growth.table(summary), flush=True)
        growth.plot(summary, (self.asked.out or self.folder) / "growth.svg")
        self.keep(growth.NAME, {"summary": summary}, runs)

    def model(self, shape: str) -> Path:
        """The folder of a shape's random weights, made once."""
        folder = self.folder / "models" / shape
        return folder if folder.exists() else save_model(SHAPES[shape], folder)

    def turns(
        self, name: str, systems: Sequence[str], measure: Callable[[str], Any], repetitions: int | None = None
    ) -> dict[str, list[Any]]:
        """What each system measured, by repetition; who goes first rotates."""
        runs: dict[str, list[Any]] = {system: [] for system in systems}
        count = repetitions or self.asked.repetitions

        def take(system: str) -> None:
            began = time.time()
            runs[system].append(measure(system))
            took = f"{len(runs[system])}/{count}, {time.time() - began:.0f} s"
            print(f"{name} {SAYS.get(system, system)}: {took}", file=sys.stderr, flush=True)

        for repetition in range(count):
            turn = repetition % len(systems)
            # one after the other; where only is asked whether it runs, several at a time
            with ThreadPoolExecutor(self.asked.threads if self.asked.quick else 1) as pool:
                list(pool.map(take, (*systems[turn:], *systems[:turn])))
        return runs

    def worker(self, system: str, work: Path) -> dict[str, Any]:
        """One fresh process with caches of its own.

        Raises:
            SystemExit: the system failed; its own words are shown.
        """
        result, load = work.with_suffix(f".{system}"), os.getloadavg()[0]
        result.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as cache:
            environment = {
                **os.environ, "OMP_NUM_THREADS": str(self.asked.threads), "TOKENIZERS_PARALLELISM": "false",
                "AFFINAGE_CACHE": cache, "HF_DATASETS_CACHE": cache, "BENCHMARK_STARTED": repr(time.time()),
            }  # fmt: skip
            command = [sys.executable, str(HERE / "worker.py"), system, str(work), str(result)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{system} failed:\n{done.stdout}{done.stderr}")
        return {**json.loads(result.read_text(encoding="utf-8")), "load_before": load}

    def keep(self, name: str, found: dict[str, Any], runs: dict[str, list[Any]]) -> None:
        """Raw repetitions beside what was made of them; texts are left out."""
        if not self.asked.out:
            return
        self.asked.out.mkdir(parents=True, exist_ok=True)
        settings = {"repetitions": len(next(iter(runs.values()))), "threads": self.asked.threads}
        raw = {system: [_without_texts(one) for one in own] for system, own in runs.items()}
        content = {"job": name, "settings": settings, "machine": _machine(), **found, "repetitions": raw}
        (self.asked.out / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _without_texts(one: Any) -> Any:
    return {key: value for key, value in one.items() if key != "tokens"} if isinstance(one, dict) else one


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


def page(folder: Path) -> str:
    """A page over every job that is kept in `folder`, each with the settings and the machine that it was measured with."""
    parts = [
        "# Measured\n\nWritten by `make bench`; the raw repetitions lie beside this page, how to read it stands in "
        "[../README.md](../README.md).\n"
    ]
    for name in NAMES:
        if (path := folder / f"{name}.json").exists():
            one = json.loads(path.read_text(encoding="utf-8"))
            parts.append(f"{_table(one)}\n{_circumstances(one)}")
    return "\n".join(parts)


def _table(one: dict[str, Any]) -> str:
    special = {startup.NAME: startup.table, growth.NAME: growth.table}
    return special[one["job"]](one["summary"]) if one["job"] in special else table(one["job"], one["summary"])


def _circumstances(one: dict[str, Any]) -> str:
    here, settings, summary = one["machine"], one["settings"], one["summary"]
    packages = ", ".join(f"{name} {number}" for name, number in here["packages"].items())
    limits = f"{limits_line(summary['limits'])}\n" if "limits" in summary else ""
    steps = f"{one['steps']} steps, " if one.get("steps", 0) > 1 else ""
    turns = f"{settings['repetitions']} repetition{'s' * (settings['repetitions'] > 1)}"
    return (
        f"{limits}{turns}, {steps}float32; {here['cpu']}, {settings['threads']} of {here['cores']} cores; {packages}.\n"
    )


if __name__ == "__main__":
    main()
