"""From raw repetitions to medians of ratios, agreement of losses, and goals met or not met."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from jobs import Job

SAME_LOSS = 1e-4
FIRST_STEPS = 5
GOALS = {"full": 2.0, "lora": 2.0, "head": 3.0}  # times the fastest setting of Hugging Face's Trainer
SAYS = {
    "affinage": "affinage",
    "hf": "HF Trainer, our batches, padded",
    "hf-packed": "HF Trainer, our batches, padding-free",
    "hf-own": "HF Trainer, own batches by length",
    "trl": "TRL SFTTrainer, our batches, padding-free",
}
OWN_BATCHES = ("hf-own",)

Runs = dict[str, list[dict[str, Any]]]  # system -> its repetitions in order


def summarise(job: Job, runs: Runs) -> dict[str, Any]:
    """Everything that the table shows of one job."""
    ours, peers = runs["affinage"], {name: runs[name] for name in job.systems if name != "affinage"}
    return {
        "figure": job.figure,
        "systems": {name: _own_figures(repetitions) for name, repetitions in runs.items()},
        "ratios": {name: _spread(_ratios(ours, theirs, "speed")) for name, theirs in peers.items()},
        "losses": {name: _losses(ours[0], theirs[0]) for name, theirs in peers.items() if name not in OWN_BATCHES},
        "goals": _goals(job, ours, peers),
    }


def _own_figures(repetitions: list[dict[str, Any]]) -> dict[str, Any]:
    keys = ("speed", "seconds_to_first_step", "seconds_training", "peak_bytes")
    return {key: _spread([one[key] for one in repetitions]) for key in keys}


def _ratios(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], key: str) -> list[float]:
    """Ours over theirs, repetition by repetition: what disturbs one disturbs the other that ran beside it."""
    return [a[key] / b[key] for a, b in zip(ours, theirs, strict=True)]


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def _losses(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Largest difference of the losses, step by step; relative, as float32 counts."""
    apart = [abs(a - b) / max(1.0, abs(b)) for a, b in zip(ours["losses"], theirs["losses"], strict=True)]
    return {"first": max(apart[:FIRST_STEPS]), "all": max(apart), "agree": max(apart[:FIRST_STEPS]) <= SAME_LOSS}


def _goals(job: Job, ours: list[dict[str, Any]], peers: Runs) -> list[dict[str, Any]]:
    """Speed against the fastest setting of HF Trainer; start and memory against the best peer of all."""
    found = []
    hugging_face = {name: theirs for name, theirs in peers.items() if name.startswith("hf")}
    for says, key, sign, wanted, among in (
        (f"at least {GOALS[job.train]:g} x HF Trainer's best {job.figure}", "speed", 1, GOALS[job.train], hugging_face),
        ("first step no later than any peer's", "seconds_to_first_step", -1, 1.0, peers),
        ("peak memory no more than any peer's", "peak_bytes", -1, 1.0, peers),
    ):
        best = max(among, key=lambda name: sign * statistics.median(one[key] for one in among[name]))
        ratio = _spread(_ratios(ours, among[best], key))
        met = sign * (ratio["median"] - wanted) >= 0
        found.append({"goal": says, "against": best, "ratio": ratio, "met": met})
    return found


def table(name: str, summary: dict[str, Any]) -> str:
    """Markdown: the table and the goals of one job."""
    apart = f"losses apart, first {FIRST_STEPS} steps / all"
    heads = ("system", summary["figure"], "affinage is faster by", "first step", "peak memory", apart)
    lines = [f"## {name}", "", _row(heads), _row(["---", *["---:"] * 5])]
    lines += [_row(_cells(system, figures, summary)) for system, figures in summary["systems"].items()]
    return "\n".join([*lines, "", *[_goal_line(goal) for goal in summary["goals"]], ""])


def _cells(system: str, figures: dict[str, Any], summary: dict[str, Any]) -> list[str]:
    ratio, losses = summary["ratios"].get(system), summary["losses"].get(system)
    speed = figures["speed"]
    return [
        SAYS[system],
        f"{speed['median']:,.0f} ({speed['low']:,.0f} to {speed['high']:,.0f})",
        _times(ratio) if ratio else "",
        f"{figures['seconds_to_first_step']['median']:.1f} s",
        f"{figures['peak_bytes']['median'] / 2**20:,.0f} MiB",
        f"{losses['first']:.1e} / {losses['all']:.1e}" if losses else "other batches" if ratio else "",
    ]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _goal_line(goal: dict[str, Any]) -> str:
    said = "met" if goal["met"] else "not met"
    return f"- {goal['goal']}: **{said}** ({_times(goal['ratio'])} of {SAYS[goal['against']]})"


def _times(spread: dict[str, float]) -> str:
    return f"{spread['median']:.2f} x ({spread['low']:.2f} to {spread['high']:.2f})"
