"""From raw repetitions to medians of ratios, shares of the limit, agreement of losses, and goals met or not met."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from jobs import AFFINAGE, SAYS, Job

SAME_LOSS = 1e-4
FIRST_STEPS = 5
SHARE = 0.65  # of the rate of torch's own products
MEMORY = 0.25  # of the leanest peer's, both above their imports
LIBRARIES = {"torch": "torch's product", "onednn": "oneDNN's product"}

Runs = dict[str, list[dict[str, Any]]]  # system -> its repetitions in order
Spread = dict[str, float]


def spread(values: Sequence[float]) -> Spread:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def summarise(job: Job, measures: list[dict[str, Any]], runs: Runs) -> dict[str, Any]:
    """Everything that the tables show of one job."""
    ours, peers = runs[AFFINAGE], {name: own for name, own in runs.items() if name != AFFINAGE}
    found = {
        "measures": {one["name"]: _measured(one, runs) for one in measures},
        "systems": {name: _own(repetitions) for name, repetitions in runs.items()},
        "limits": {
            library: spread([one["limits"][library] for own in runs.values() for one in own]) for library in LIBRARIES
        },
        "agreement": {name: _agreement(ours[0], theirs[0]) for name, theirs in peers.items()},
    }
    return {**found, "goals": _goals(job, found, runs)}


def _measured(measure: dict[str, Any], runs: Runs) -> dict[str, Any]:
    """Of each system: tokens a second, how much faster ours is, and shares of what the libraries' products reach."""
    name, found = measure["name"], {}
    for system, repetitions in runs.items():
        seconds = [one["seconds"][name] for one in repetitions]
        shares = {
            library: spread([
                measure["operations"] / one["seconds"][name] / one["limits"][library] for one in repetitions
            ])
            for library in LIBRARIES
            if measure["operations"] and all(one["limits"][library] for one in repetitions)
        }  # fmt: skip
        found[system] = {"speed": spread([measure["tokens"] / one for one in seconds]), "shares": shares}
        if system != AFFINAGE:  # repetition by repetition: what disturbs one disturbs the other that ran beside it
            ours = [one["seconds"][name] for one in runs[AFFINAGE]]
            found[system]["ratio"] = spread([their / own for own, their in zip(ours, seconds, strict=True)])
    return found


def _own(repetitions: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "seconds_to_first_step": spread([one["seconds_to_first_step"] for one in repetitions]),
        "peak_bytes": spread([one["peak_bytes"] for one in repetitions]),
        "above_bytes": spread([one["peak_bytes"] - one["imported_bytes"] for one in repetitions]),
        "losses": repetitions[0]["losses"],
    }


def _agreement(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Largest difference of the losses, step by step, relative as float32 counts; or how many texts are the same."""
    if not ours["losses"]:
        same = sum(own == their for own, their in zip(ours["tokens"], theirs["tokens"], strict=True))
        return {"same": same, "of": len(ours["tokens"])}
    apart = [abs(a - b) / max(1.0, abs(b)) for a, b in zip(ours["losses"], theirs["losses"], strict=True)]
    return {"first": max(apart[:FIRST_STEPS]), "all": max(apart), "agree": max(apart[:FIRST_STEPS]) <= SAME_LOSS}


def _goals(job: Job, found: dict[str, Any], runs: Runs) -> list[dict[str, Any]]:
    goals = []
    for goal in job.goals:
        ratio = found["measures"][goal.measure][goal.against]["ratio"]
        said = f"{goal.measure}: at least {goal.wanted:g} x {SAYS[goal.against]}"
        goals.append({"goal": said, "met": ratio["median"] >= goal.wanted, "measured": _times(ratio)})
    for name, systems in found["measures"].items():
        shares = systems[AFFINAGE]["shares"]
        if shares:
            met = shares["torch"]["median"] >= SHARE
            told = ", ".join(f"{_percent(share)} of {LIBRARIES[library]}" for library, share in shares.items())
            goals.append({"goal": f"{name}: at least {100 * SHARE:.0f} % of the limit", "met": met, "measured": told})
    above = {system: own["above_bytes"]["median"] for system, own in found["systems"].items()}
    leanest = min((system for system in runs if system != AFFINAGE), key=lambda system: above[system])
    ratios = {system: above[AFFINAGE] / above[system] for system in runs if system != AFFINAGE}
    told = ", ".join(f"{ratio:.2f} of {SAYS[system]}" for system, ratio in ratios.items())
    said = f"memory above the imports at most {MEMORY:g} of any peer's"
    goals.append({"goal": said, "met": ratios[leanest] <= MEMORY, "measured": told})
    return goals


def table(name: str, summary: dict[str, Any], *, goals: bool = True) -> str:
    """Markdown: the tables and the goals of one job."""
    heads = ("timed", "system", "tokens/s", "affinage is faster by", *(f"share of {one}" for one in LIBRARIES.values()))
    lines = [f"## {name}", "", _row(heads), _row(["---", "---", *["---:"] * 4])]
    for measure, systems in summary["measures"].items():
        for system, one in systems.items():
            speed, shares = one["speed"], one["shares"]
            lines.append(_row([
                measure, SAYS[system], f"{speed['median']:,.0f} ({speed['low']:,.0f} to {speed['high']:,.0f})",
                _times(one["ratio"]) if "ratio" in one else "",
                *(_percent(shares[library]) if library in shares else "" for library in LIBRARIES),
            ]))  # fmt: skip
    heads = ("system", "first step", "peak memory", "above the imports", *_agreement_heads(summary))
    lines += ["", _row(heads), _row(["---", *["---:"] * (len(heads) - 1)])]
    lines += [_row(_process(system, one, summary)) for system, one in summary["systems"].items()]
    return "\n".join([*lines, "", *[_goal_line(goal) for goal in summary["goals"] if goals], ""])


def _agreement_heads(summary: dict[str, Any]) -> tuple[str, ...]:
    if summary["systems"][AFFINAGE]["losses"]:
        return "losses", f"apart from ours, first {FIRST_STEPS} steps / all"
    return ("greedy texts as ours",)


def _process(system: str, own: dict[str, Any], summary: dict[str, Any]) -> list[str]:
    losses, agreement = own["losses"], summary["agreement"].get(system)
    cells = [
        SAYS[system],
        f"{own['seconds_to_first_step']['median']:.1f} s",
        f"{own['peak_bytes']['median'] / 2**20:,.0f} MiB",
        f"{own['above_bytes']['median'] / 2**20:,.0f} MiB",
    ]
    if not losses:
        return [*cells, f"{agreement['same']} of {agreement['of']}" if agreement else ""]
    apart = f"{agreement['first']:.1e} / {agreement['all']:.1e}" if agreement else ""
    return [*cells, f"{losses[0]:.5f} to {losses[-1]:.5f}", apart]


def limits_line(limits: dict[str, Spread]) -> str:
    """What the products reached beside this job."""
    told = [f"{says} {limits[library]['median'] / 1e9:,.0f} GFLOP/s" for library, says in LIBRARIES.items()]
    return f"Limit, 2048 x 768 x 768 in float32, median over all processes: {', '.join(told)}."


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _goal_line(goal: dict[str, Any]) -> str:
    return f"- {goal['goal']}: **{'met' if goal['met'] else 'not met'}** ({goal['measured']})"


def _times(one: Spread) -> str:
    return f"{one['median']:.2f} x ({one['low']:.2f} to {one['high']:.2f})"


def _percent(one: Spread) -> str:
    return f"{100 * one['median']:.0f} %"
