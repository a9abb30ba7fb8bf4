"""How the cost of a step of LoRA grows with its rows, with their length and with the model: points for every system,
and a plot of them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs import AFFINAGE, HF_PACKED, RANK, SAYS, SHAPES, Shape
from operations import Piece, training
from work import LEARNING_RATE, MICRO_TOKENS, PAD, SPECIAL

NAME = "growth"
SYSTEMS = (AFFINAGE, HF_PACKED)
_LEARNED = 0.6  # of a row
_PLACES = {  # shape, rows of a step, tokens of a row
    "rows": [("M", 2, 256), ("M", 4, 256), ("M", 8, 256), ("M", 16, 256)],
    "length": [("M", 32, 64), ("M", 8, 256), ("M", 4, 512), ("M", 2, 1024)],
    "size": [(shape, 4, 256) for shape in SHAPES],
}
_AXES = {
    "rows": "rows of 256 tokens in a step",
    "length": "tokens of a row, 2,048 in a step",
    "size": "million weights, 1,024 tokens in a step",
}


def write_work(path: Path, model: Callable[[str], Path], threads: int, *, quick: bool) -> dict[str, Any]:
    """Each point is a small work of two steps: one of a single row, to warm up, and the one that is timed."""
    rng, points = random.Random(NAME), []
    for panel, places in _PLACES.items():
        for shape, rows, length in places[:2] if quick else places:
            points.append(_point(panel, shape, rows, length // 8 if quick else length, model(shape), threads, rng))
    work = {"points": points}
    path.write_text(json.dumps(work), encoding="utf-8")
    return work


def weights(shape: Shape) -> int:
    """Numbers in all matrices of a network."""
    keys = shape.key_heads * shape.head_width
    block = 2 * shape.width * shape.width + 2 * shape.width * keys + 3 * shape.width * shape.inner
    return shape.vocabulary * shape.width + shape.blocks * block


def summarise(work: dict[str, Any], runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """For every point: where it stands, what each system took at least, and what the products would take at torch's
    own rate."""
    found: dict[str, list[dict[str, Any]]] = {}
    for number, point in enumerate(work["points"]):
        rate = max(run["limits"]["torch"] for own in runs.values() for run in own)
        seconds = {name: min(run["points"][number] for run in own) for name, own in runs.items()}
        found.setdefault(point["panel"], []).append(
            {"at": point["at"], "seconds": seconds, "limit": point["operations"] / rate}
        )
    return {"panels": found}


def table(summary: dict[str, Any]) -> str:
    """Markdown."""
    lines = ["## growth", "", "Seconds of one step of LoRA on every linear layer, one repetition.", ""]
    for panel, points in summary["panels"].items():
        lines += [f"| {_AXES[panel]} | {' | '.join(SAYS[name] for name in SYSTEMS)} | products at torch's rate |"]
        lines += ["| ---: | ---: | ---: | ---: |"]
        for point in points:
            cells = [f"{point['seconds'][name]:.2f}" for name in SYSTEMS]
            lines.append(f"| {point['at']:,g} | {' | '.join(cells)} | {point['limit']:.2f} |")
        lines.append("")
    return "\n".join([*lines, "![seconds of a step by rows, length and weights](growth.svg)", ""])


def plot(summary: dict[str, Any], path: Path) -> None:
    """One panel for each thing that grows, both axes logarithmic."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = NAME  # the same numbers give the same file
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(summary["panels"]), figsize=(11, 3.6), sharey=True)
    for axis, (panel, points) in zip(axes, summary["panels"].items(), strict=True):
        at = [point["at"] for point in points]
        for name, colour in zip(SYSTEMS, ("#1b6ca8", "#c8553d"), strict=True):
            axis.plot(at, [point["seconds"][name] for point in points], "o-", color=colour, label=SAYS[name])
        axis.plot(at, [point["limit"] for point in points], "--", color="#777777", label="products at torch's rate")
        axis.set(xscale="log", yscale="log", xlabel=_AXES[panel], xticks=at)
        axis.set_xticks([], minor=True)
        axis.set_xticklabels([f"{one:,g}" for one in at])
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("seconds of a step")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _point(
    panel: str, name: str, rows: int, length: int, model: Path, threads: int, rng: random.Random
) -> dict[str, Any]:
    shape = SHAPES[name]
    learned = round(_LEARNED * length)
    drawn = [[rng.randrange(SPECIAL, shape.vocabulary) for _ in range(length)] for _ in range(1 + rows)]
    at = {"rows": rows, "length": length, "size": round(weights(shape) / 1e6, 1)}[panel]
    return {
        "panel": panel, "at": at, "kind": "sft", "train": "lora", "rank": RANK, "model": str(model), "threads": threads,
        "learning_rate": LEARNING_RATE["lora"], "pad_id": PAD, "micro_tokens": MICRO_TOKENS,
        "rows": [{"tokens": tokens, "learned": learned} for tokens in drawn], "steps": [[0], list(range(1, 1 + rows))],
        "operations": training(shape, [Piece(length, 0, learned, learned)] * rows, "lora", RANK).again,
    }  # fmt: skip
