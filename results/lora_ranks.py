"""What LoRA saves at each rank, on real instructions: `lora_ranks.py [NAME...] [--data FOLDER] [--seeds N] [--missing]`.

One `affinage tune` for each setting and seed, settings in turns, on a machine that does nothing else; docs/results.md is
made of what is kept. With a seed come other held-out rows and batches, and every setting of that seed has the same ones.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from commands import HERE, Entry, chosen, parser
from run import ROOT, call

KEPT = HERE / "lora_ranks.jsonl"
RANKS = (1, 2, 4, 8, 16, 64)
STEPS = 30
BASE: dict[str, Any] = {
    "data": "data/alpaca_en_sample/alpaca_en_sample.jsonl.gz", "too_long": "drop", "model": "tiny",
    "batch_tokens": 2048, "held_out": 100, "validation": 0, "samples": 0,
}  # fmt: skip


def settings() -> dict[str, dict[str, Any]]:
    """Name -> what the setting adds to the recipe; full comes last."""
    ranks: dict[str, dict[str, Any]] = {f"rank-{rank}": {"train": "lora", "rank": rank} for rank in RANKS}
    return {**ranks, "full": {"train": "full"}}


def entry(name: str, seed: int, steps: int) -> Entry:
    """The run of one setting and seed."""
    recipe = {**BASE, **settings()[name], "steps": steps, "seed": seed}
    return Entry(f"lora-ranks/{name}-seed-{seed}", "lora-ranks", recipe)


def read_kept(file: Path = KEPT) -> list[dict[str, Any]]:
    """What was measured, a run a line."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def main() -> None:
    """Measure what was asked for, and keep it run by run."""
    options = parser(__doc__, "settings")
    options.add_argument("--seeds", type=int, default=3, help="repetitions (default: 3)")
    options.add_argument("--steps", type=int, help="fewer steps, to see whether everything runs; kept nowhere")
    options.add_argument("--missing", action="store_true", help="only what is not kept yet (else all is done again)")
    asked = options.parse_args()
    names = chosen(asked.names, {name: name for name in settings()})
    stays = [one for one in read_kept() if asked.missing or one["name"] not in names]
    kept = {(one["name"], one["seed"]): one for one in stays}
    for seed in range(asked.seeds):
        for name in names:
            if (name, seed) in kept:
                continue
            done = _measured(name, seed, asked.steps or STEPS, asked.data)
            print(f"{name}, seed {seed}: {done['wall_seconds']:.0f} s", file=sys.stderr, flush=True)
            if asked.steps is None:
                kept[name, seed] = done
                _keep(list(kept.values()))


def _keep(runs: list[dict[str, Any]]) -> None:
    order = list(settings())
    lines = sorted(runs, key=lambda one: (one["seed"], order.index(one["name"])))
    KEPT.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")


def _measured(name: str, seed: int, steps: int, data: str) -> dict[str, Any]:
    """One run, and what is kept of it."""
    asked = entry(name, seed, steps)
    folder = ROOT / asked.folder
    shutil.rmtree(folder, ignore_errors=True)
    (command,) = asked.commands(data)
    began = time.perf_counter()
    answer = call(command) or {}
    seconds = time.perf_counter() - began
    evaluation = answer["evaluation"]
    if evaluation["training"]["memory_bytes"] is None:
        raise SystemExit("this system does not say how much memory a training took (Linux does)")
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    environment, plan = (
        json.loads((folder / f"{file}.json").read_text(encoding="utf-8")) for file in ("environment", "plan")
    )
    return {
        "name": name,
        "seed": seed,
        "command": " ".join(command),
        "wall_seconds": round(seconds, 1),
        "training": evaluation["training"],
        "rows": evaluation["rows"],
        "helped": evaluation["helped"],
        "loss": {key: evaluation[key] for key in ("before", "after", "difference")},
        "bits_per_byte": evaluation["metrics"]["bits_per_byte"],
        "step_tokens": [row["tokens"] for row in rows],
        "step_seconds": [round(row["tokens"] / row["tokens_per_second"], 4) for row in rows],
        "environment": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "products": plan["settings"]["products"]["value"],
            **{key: environment[key] for key in ("python", "packages", "device", "dtype", "threads")},
        },
    }


def _processor() -> str:
    """Its name as the kernel gives it, or nothing."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    main()
