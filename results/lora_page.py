"""The part of docs/results.md on what LoRA saves, from what lora_ranks.py kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import mean, median
from typing import Any

from lora_ranks import settings

CLAIM = 0.98  # the share of the cost that LoRA is said to save, at best
WARM_UP = 2  # steps at the start whose time is not counted
Run = dict[str, Any]
FULL = "full"
COSTS = {
    "weights that train": "trainable_parameters",
    "state of the optimizer": "optimizer_bytes",
    "saved weights": "saved_bytes",
    "peak memory": "memory_bytes",
}
TIME = "time of a step"
INTRODUCTION = """## What LoRA saves

Written from `results/lora_ranks.jsonl`, which `python results/lora_ranks.py` makes anew: {runs} runs of {steps} steps on
public instructions, each rank and full tuning with {seeds}, each with its own derived learning rate, everything else
alike. Runs of one seed share their held-out rows and the batch of every step. {machine}.

All columns are measured; percentages are of full tuning. *Memory* is what the process held at most while training, above
what it held before (resident bytes: gradients, optimizer, activations of up to {batch:,} tokens, but not the base, which was
loaded by then). *Time* is that of an optimizer step as a share of the same step in full tuning: the median of {counted} steps,
then of the seeds, with their lowest and highest in brackets. Other figures are means over the seeds. *Change* is the paired
difference in held-out loss (nats per token, {rows} rows for each seed), with the lowest and the highest bound of the seeds'
95 % intervals; *above full* is the loss after, minus that of full tuning on the same rows, with the lowest and highest of
the seeds.
"""

EXPLANATION = """What an adapter cannot spare is the way through the frozen weights: their products stay in both passes, and so do
the activations that lead to the lowest adapter. Of a full step it spares the products that give the frozen weights their
own gradients, those gradients, and their part of the optimizer.
"""


def section(runs: list[Run]) -> str:
    """The section; empty while not every setting has been measured with the same seeds."""
    by = {name: [run for run in runs if run["name"] == name] for name in settings()}
    seeds = [run["seed"] for run in by[FULL]]
    if not seeds or any([run["seed"] for run in found] != seeds for found in by.values()):
        return ""
    commands = "\n".join(found[0]["command"] for found in by.values())
    parts = [_introduction(runs, seeds), _costs(by), _quality(by), _claim(by), f"```sh\n{commands}\n```\n"]
    return "\n".join(parts)


def less(by: dict[str, list[Run]], cost: str) -> dict[str, float]:
    """Rank's name -> the share of full tuning's `cost` that it saves (negative: it costs more)."""
    ranks = [name for name in by if name != FULL]
    if cost == TIME:
        return {name: 1 - median(_time_ratios(by, name)) for name in ranks}
    key = COSTS[cost]
    return {name: 1 - _mean(by[name], key) / _mean(by[FULL], key) for name in ranks}


def _introduction(runs: list[Run], seeds: list[int]) -> str:
    first = runs[0]
    here = first["environment"]
    packages = here["packages"]
    return INTRODUCTION.format(
        runs=len(runs),
        steps=first["training"]["steps"],
        seeds=f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed",
        machine=f"{here['processor'] or here['device']}, {here['threads']} threads, {here['dtype']}, matrix products "
        f"by {' or '.join(sorted({run['environment']['products'] for run in runs}))}, torch {packages['torch']}, "
        f"peft {packages['peft']}",
        batch=max(max(run["step_tokens"]) for run in runs),
        counted=len(first["step_tokens"]) - WARM_UP,
        rows=first["rows"],
    )


def _costs(by: dict[str, list[Run]]) -> str:
    heads = ["trained", "weights that train", "optimizer", "saved", "memory", "time"]
    shapes: list[Callable[[float], str]] = [lambda count: f"{count:,.0f}", _size, _size, _size]
    lines = []
    for name, found in by.items():
        cells = [name]
        for key, shape in zip(COSTS.values(), shapes, strict=True):
            value, full = _mean(found, key), _mean(by[FULL], key)
            cells.append(shape(value) + ("" if name == FULL else f" ({_percent(value / full)})"))
        if name == FULL:
            cells.append(f"{median(_seconds(run) for run in found):.3g} s")
        else:
            ratios = _time_ratios(by, name)
            cells.append(f"{_percent(median(ratios))} ({100 * min(ratios):.0f} to {100 * max(ratios):.0f})")
        lines.append(cells)
    return _table(heads, lines)


def _quality(by: dict[str, list[Run]]) -> str:
    heads = ["trained", "bits per byte", "loss", "change", "above full", "helped"]
    lines = []
    for name, found in by.items():
        gaps = [run["loss"]["after"]["value"] - full["loss"]["after"]["value"] for run, full in _pairs(by, name)]
        change = [run["loss"]["difference"] for run in found]
        lines.append(
            [
                name,
                _arrow([run["bits_per_byte"] for run in found]),
                _arrow([run["loss"] for run in found]),
                f"{mean(one['value'] for one in change):+.3f} "
                f"({min(one['low'] for one in change):+.3f} to {max(one['high'] for one in change):+.3f})",
                "" if name == FULL else f"{mean(gaps):+.3f} ({min(gaps):+.3f} to {max(gaps):+.3f})",
                ", ".join(dict.fromkeys(run["helped"] for run in found)),
            ]
        )
    return _table(heads, lines)


def _claim(by: dict[str, list[Run]]) -> str:
    """For which costs the claim holds, and at which ranks."""
    said = f"LoRA is said to cut the cost of tuning by up to {100 * CLAIM:.0f} %. Of what was measured here:\n"
    lines = [said]
    for cost in (*COSTS, TIME):
        saved = less(by, cost)
        holds = [name for name, share in saved.items() if share >= CLAIM]
        best, worst = max(saved, key=lambda name: saved[name]), min(saved, key=lambda name: saved[name])
        verdict = f"it holds at {_joined(holds)}" if holds else "it does not hold at any rank"
        lines.append(
            f"- **{cost}**: {verdict} ({_less(saved[best])} at {_rank(best)}, {_less(saved[worst])} at {_rank(worst)})."
        )
    return "\n".join([*lines, "", EXPLANATION])


def _pairs(by: dict[str, list[Run]], name: str) -> list[tuple[Run, Run]]:
    """The runs of a setting, each with full tuning's of the same seed.

    Raises:
        ValueError: their steps are not of the same batches.
    """
    pairs = list(zip(by[name], by[FULL], strict=True))
    for run, full in pairs:
        if run["step_tokens"] != full["step_tokens"]:
            raise ValueError(f"{name}, seed {run['seed']}: other batches than full tuning's")
    return pairs


def _time_ratios(by: dict[str, list[Run]], name: str) -> list[float]:
    """For each seed, the median over the steps of the share of full tuning's time for the same step."""
    return [
        median(a / b for a, b in zip(run["step_seconds"][WARM_UP:], full["step_seconds"][WARM_UP:], strict=True))
        for run, full in _pairs(by, name)
    ]


def _seconds(run: Run) -> float:
    return float(median(run["step_seconds"][WARM_UP:]))


def _mean(found: list[Run], key: str) -> float:
    return mean(run["training"][key] for run in found)


def _size(count: float) -> str:
    return f"{count / 2**10:,.0f} KiB" if count < 2**20 else f"{count / 2**20:,.1f} MiB"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _less(share: float) -> str:
    return f"{100 * abs(share):.1f} % {'less' if share >= 0 else 'more'}"


def _rank(name: str) -> str:
    return name.replace("-", " ")


def _joined(names: list[str]) -> str:
    numbers = [name.removeprefix("rank-") for name in names]
    return f"rank {numbers[0]}" if len(numbers) == 1 else f"ranks {', '.join(numbers[:-1])} and {numbers[-1]}"


def _arrow(pairs: list[Run]) -> str:
    before, after = (mean(pair[side]["value"] for pair in pairs) for side in ("before", "after"))
    return f"{before:.3f} → **{after:.3f}**"


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
