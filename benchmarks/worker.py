"""One system does one job in this fresh process: `worker.py SYSTEM WORK.json RESULT.json`.

The parent says in BENCHMARK_STARTED (seconds of `time.time`) when it started this process. A work that holds `points`
is several small ones, of each of which the last step is timed.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from clock import Clock, limits, peak_bytes


def main() -> None:
    """Do it and write what was measured."""
    system, work_path, result_path = sys.argv[1:]
    work = json.loads(Path(work_path).read_text(encoding="utf-8"))
    if system == "affinage":
        import_module("affinage")  # before torch, which reads what this says to the native libraries
        from ours import run
    elif system.startswith("trl"):
        from trl_jobs import run
    else:
        from peers import run
    imported = peak_bytes()
    started = float(os.environ["BENCHMARK_STARTED"])
    if "points" in work:
        clocks = [Clock(started) for _ in work["points"]]
        for point, clock in zip(work["points"], clocks, strict=True):
            run(system, point, clock)
        found: dict[str, Any] = {"points": [clock.ends[-1] - clock.ends[-2] for clock in clocks]}
    else:
        clock = Clock(started)
        run(system, work, clock)
        found = _measured(work, clock)
    memory = {"imported_bytes": imported, "peak_bytes": peak_bytes()}  # before the products take some
    Path(result_path).write_text(json.dumps({**found, **memory, "limits": limits()}), encoding="utf-8")


def _measured(work: dict[str, Any], clock: Clock) -> dict[str, Any]:
    return {
        "seconds": {measure["name"]: clock.seconds(measure) for measure in work["measures"]},
        "seconds_to_first_step": clock.ends[0] - clock.started,
        "losses": clock.losses,
        "step_ends": [round(end - clock.began, 4) for end in clock.ends],
        "seconds_before": clock.before,
        "tokens": clock.tokens,
    }


if __name__ == "__main__":
    main()
