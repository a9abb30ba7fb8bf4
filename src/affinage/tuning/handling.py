"""What a recipe has had done to its rows before any training, and with what effect: for the plan and the run's files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from affinage.tuning.prepared import Prepared

Told = dict[str, tuple[Any, str]]


def handling(prepared: Prepared) -> Told:
    """The settings that change which rows there are and where they stand: key -> value and effect. Defaults are left out."""
    recipe = prepared.recipe
    dropped = Counter(drop.reason for drop in prepared.drops)
    told: Told = {}
    if recipe.redact:
        found = counted(prepared.redactions) or "nothing was found"
        told["redact"] = (True, f"{found}, in the rows looked at first" if prepared.stream else found)
    if recipe.near_duplicates == "drop":
        told["near_duplicates"] = ("drop", f"{dropped['near-duplicate']:,} rows were dropped")
    if recipe.near_duplicates == "keep":
        told["near_duplicates"] = ("keep", "rows that say nearly the same may stand on two sides of the split")
    if recipe.decontaminate:
        told["decontaminate"] = (list(recipe.decontaminate), f"{dropped['contaminated']:,} rows were dropped")
    if recipe.mix:
        shares = (
            f"{name} {100 * one / sum(recipe.mix):.0f} %" for name, one in zip(recipe.data, recipe.mix, strict=False)
        )
        told["mix"] = (list(recipe.mix), f"of the training tokens: {', '.join(shares)}")
    if prepared.stream is not None:
        told["stream"] = (True, "asked for" if recipe.stream else "the files are large")
    return told | _split(prepared)


def handling_lines(prepared: Prepared) -> list[tuple[str, str]]:
    """As `handling`, with all drops, for people: (heading, text)."""
    dropped = Counter(drop.reason for drop in prepared.drops)
    lines = [("dropped", f"{dropped.total():,} rows: {counted(dropped)}")] if dropped else []
    for key, (value, effect) in handling(prepared).items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else "yes" if value is True else value
        lines.append((key, f"{shown}: {effect}"))
    return lines


def counted(counts: Mapping[str, int]) -> str:
    """`a 5, b 2`, the most frequent first."""
    return ", ".join(f"{name} {count:,}" for name, count in Counter(counts).most_common() if count)


def _split(prepared: Prepared) -> Told:
    """How the rows were parted, where a column decides it."""
    ways, effects = [], []
    times = [record.time for record in prepared.records_on("train") if record.time is not None]
    if times:
        ways.append("time")
        effects.append(f"the latest rows are held out, none trained on is later than {_day(max(times))}")
    groups = {record.group for record in prepared.records if record.group}
    if groups:
        ways.append("group")
        column = prepared.recipe.columns.get("group", "group")
        effects.append(f"{len(groups):,} groups of `{column}`, none on two sides")
    return {"split": (f"by {' and '.join(ways)}", "; ".join(effects))} if ways else {}


def _day(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M").removesuffix(" 00:00")
    except (OverflowError, OSError, ValueError):  # numbers that count something else than seconds
        return f"{seconds:g}"
