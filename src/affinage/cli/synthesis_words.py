"""What a synthesis says when it is done, and while it works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from affinage.synthesis.costs import Meter
    from affinage.synthesis.judge import Tally
    from affinage.synthesis.run import Progress, Result

ENDS = {
    "wanted": "",
    "material": "the material is used up",
    "budget": "the budget is reached; to go on: the same command with a larger --budget and --overwrite",
    "stale": "given up, since the last 64 candidates or more gave nothing that passes",
}


@dataclass(slots=True)
class Report:
    """What a job gave, for people and for programs.

    Attributes:
        advice: what to do when no row was kept.
    """

    out: Path
    rows: int
    generated: int
    lines: list[str]
    advice: str
    ledger: dict[str, Any] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        return {"out": str(self.out), **self.ledger}


def judged(tally: Tally) -> list[str]:
    """What both orders of the comparisons gave."""
    if not tally.compared:
        return []
    return [
        f"judge: {tally.compared:,} pairs, each in both orders: {tally.agreed:,} agreed, {tally.both_ties:,} ties, "
        f"{tally.flips:,} flipped with the order, {tally.half_ties:,} tied in one order; the answer shown first was "
        f"named better {tally.shown_first:,} times, the second {tally.shown_second:,} times"
    ]


def last_line(result: Result, meter: Meter, wanted: int | None, where: Path, *, priced: bool) -> str:
    """Kept, calls, tokens, cost, where, and why there is no more."""
    kept = f"kept {len(result.rows):,}" + (f" of {wanted:,} wanted" if wanted else "")
    cost = f", cost {meter.cost:,.4f}" if priced else ""
    earlier = f" + {meter.replayed:,} from the journal" if meter.replayed else ""
    failed = f" ({meter.failed:,} failed)" if meter.failed else ""
    untold = f" ({meter.estimated:,} calls told no usage and count at their most)" if meter.estimated else ""
    calls = f"{meter.calls:,} call{'s' * (meter.calls != 1)}{failed}{earlier}"
    used = f"{calls}, {meter.read:,} tokens read, {meter.written:,} written{untold}{cost}"
    ended = f"; {ENDS[result.ended]}" if ENDS[result.ended] else ""
    return f"{kept}; {used} -> {where}{ended}"


def advice(result: Result, ledger: Path) -> str:
    """What to do when nothing was kept."""
    if result.ended == "budget":
        return "the budget is too small for one row"
    stage, count = max(result.ledger.dropped.items(), key=lambda item: item[1])
    if not count:
        return "the material gave no candidate"
    hint = "; this teacher does not keep to the form that it is asked for: use a stronger one" * (stage == "format")
    return f"most were dropped at the stage {stage!r}, examples in {ledger}{hint}"


@contextmanager
def progress(meter: Meter, target: int) -> Iterator[Progress]:
    """A line on a terminal; nothing in a pipe."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task
    from rich.text import Text

    class Used(ProgressColumn):
        def render(self, task: Task) -> Text:
            cost = f", cost {meter.cost:,.4f}" if meter.cost else ""
            return Text(f"{meter.calls + meter.replayed:,} calls, {meter.read + meter.written:,} tokens{cost}")

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda kept, wanted: None
        return
    columns = ("kept {task.completed:,.0f} of {task.total:,.0f}", BarColumn(), Used())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=target)
        yield lambda kept, wanted: bar.update(task, completed=kept)
