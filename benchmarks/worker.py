"""One system does one job in this fresh process: `worker.py SYSTEM WORK.json RESULT.json`.

The clock starts when the parent starts this process: at BENCHMARK_STARTED (seconds of `time.time`), or at 0 when
BENCHMARK_CLOCK is `cpu` and the processor's seconds are counted.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WARM_UP = 2  # steps at the start whose time is not counted in the speed


@dataclass(slots=True)
class Clock:
    """What a system reports while it works."""

    now: Callable[[], float]
    started: float
    training_began: float = 0.0
    ends: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def begin(self) -> None:
        """The model is loaded; the job itself starts."""
        self.training_began = self.now()

    def step(self) -> None:
        """An optimizer step is done."""
        self.ends.append(self.now())


def main() -> None:
    """Run the job and write what was measured."""
    system, work_path, result_path = sys.argv[1:]
    work = json.loads(Path(work_path).read_text(encoding="utf-8"))
    cpu = os.environ["BENCHMARK_CLOCK"] == "cpu"
    clock = Clock(time.process_time, 0.0) if cpu else Clock(time.time, float(os.environ["BENCHMARK_STARTED"]))
    if system == "affinage":
        from ours import run
    else:
        from peers import run
    groups = run(system, work, clock)
    Path(result_path).write_text(json.dumps(_measured(work, clock, groups)), encoding="utf-8")


def _measured(work: dict[str, Any], clock: Clock, groups: list[list[int]]) -> dict[str, Any]:
    tokens = [sum(len(work["tokens"][row]) for row in group) for group in groups]
    seconds = clock.ends[-1] - clock.training_began
    counted = clock.ends[-1] - clock.ends[WARM_UP - 1]
    rows = sum(len(group) for group in groups)
    speed = rows / seconds if work["classes"] else sum(tokens[WARM_UP:]) / counted
    return {
        "speed": speed,
        "seconds_to_first_step": clock.ends[0] - clock.started,
        "seconds_training": seconds,
        "seconds_in_all": clock.now() - clock.started,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "steps": len(clock.ends),
        "rows": rows,
        "tokens": sum(tokens),
        "losses": clock.losses,
        "step_ends": [round(end - clock.training_began, 4) for end in clock.ends],
    }


if __name__ == "__main__":
    main()
