"""Do the runs of runs.yaml on real data and keep what docs/results.md is made of: `run.py [NAME...] [--data FOLDER]`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from commands import HERE, Entry, chosen, entries, parser

ROOT = HERE.parent
KEPT = HERE / "evaluations"


def main() -> None:
    """Run what was asked for, one after the other."""
    options = parser(__doc__, "runs of runs.yaml")
    options.add_argument(
        "--steps", type=int, help="fewer optimizer steps, to see whether everything runs; kept nowhere"
    )
    options.add_argument("--missing", action="store_true", help="only runs of which nothing is kept yet")
    asked = options.parse_args()
    for entry in chosen(asked.names, {entry.name: entry for entry in entries()}):
        if asked.missing and (KEPT / f"{entry.name}.json").exists():
            continue
        _do(entry, asked.data, asked.steps)


def _do(entry: Entry, data: str, steps: int | None) -> None:
    shutil.rmtree(ROOT / entry.folder, ignore_errors=True)
    commands = entry.commands(data)
    test = None
    for command in commands:
        print(f"$ {' '.join(command)}", file=sys.stderr, flush=True)
        quick = ["--set", f"steps={steps}"] if steps and command[:2] == ["affinage", "tune"] else []
        said = call([*command, *quick])
        if command[1] == "eval":
            test = said
    if steps is None:
        KEPT.mkdir(exist_ok=True)
        text = json.dumps(_kept(entry, commands, test), indent=1, ensure_ascii=False)
        (KEPT / f"{entry.name}.json").write_text(text + "\n", encoding="utf-8")


def call(command: list[str], fine: Sequence[int] = (0,)) -> dict[str, Any] | None:
    """Run one command in the repository's root with this interpreter; affinage's JSON answer.

    Raises:
        SystemExit: it left with another code than the `fine` ones; its own words have been shown.
    """
    ours = command[0] == "affinage"
    full = [sys.executable, "-m", "affinage", *command[1:], "--json"] if ours else [sys.executable, *command[1:]]
    done = subprocess.run(full, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    if done.returncode not in fine:
        raise SystemExit(f"failed: {' '.join(command)}")
    return json.loads(done.stdout.splitlines()[-1]) if ours else None


def _kept(entry: Entry, commands: list[list[str]], test: dict[str, Any] | None) -> dict[str, Any]:
    """The run's own files, without what grows with the square of the classes."""
    folder = ROOT / entry.folder
    read = lambda name: json.loads((folder / name).read_text(encoding="utf-8"))  # noqa: E731
    plan, environment = read("plan.json"), read("environment.json")
    return {
        "commands": [" ".join(command) for command in commands],
        "evaluation": _slim(read("evaluation.json")),
        "test": _slim(test) if test else None,
        "plan": plan,
        "ledger": read("ledger.json"),
        "environment": {key: environment[key] for key in ("python", "packages", "device", "dtype", "threads", "data")},
    }


def _slim(evaluation: dict[str, Any]) -> dict[str, Any]:
    metrics = {
        name: pair
        for name, pair in evaluation.get("metrics", {}).items()
        if name not in ("confusion", "labels", "points")
    }
    return {key: value for key, value in evaluation.items() if key not in ("run", "metrics")} | {"metrics": metrics}


if __name__ == "__main__":
    main()
