"""What a system reports while it works, and the rates that its work is set against."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_ROWS, _WIDTH, _TIMES = 2048, 768, 12


@dataclass(slots=True)
class Clock:
    """Wall-clock seconds.

    Attributes:
        started: when this process was started.
        before: work that had to be done before the training began.
        began: when the training began.
        ends: when each step was done.
        phases: seconds of what is no step, by name.
        tokens: what was written greedily.
    """

    started: float
    before: float = 0.0
    began: float = 0.0
    ends: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)
    tokens: list[list[int]] = field(default_factory=list)

    @classmethod
    def like(cls, other: Clock) -> Clock:
        """Another one, that nothing was told yet."""
        return cls(other.started)

    def begin(self) -> None:
        """The model is loaded; the job itself starts."""
        self.began = time.time()

    def step(self) -> None:
        """An optimizer step is done."""
        self.ends.append(time.time())

    def seconds(self, measure: dict[str, Any]) -> float:
        """What a measure of the work took."""
        if "phase" in measure:
            return self.phases[measure["phase"]]
        end = self.ends[measure["last"] - 1]
        return end - self.ends[measure["first"] - 1] if measure["first"] else self.before + end - self.began


def peak_bytes() -> int:
    """The most memory that this process has held. (`getrusage` would count the process that started it as well.)"""
    status = Path("/proc/self/status")
    if not status.exists():  # no Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = status.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def limits() -> dict[str, float]:
    """Operations a second of a product of 2048 x 768 and 768 x 768 in float32, by torch's own library and by the other
    one that it carries: the best of several."""
    import torch

    left, right = torch.ones(_ROWS, _WIDTH), torch.ones(_WIDTH, _WIDTH)
    found = {"torch": _rate(lambda: torch.mm(left, right))}
    try:
        operator = torch.ops.mkldnn._linear_pointwise
        found["onednn"] = _rate(lambda: operator(left, right.T, None, "none", [], ""))
    except (AttributeError, RuntimeError, NotImplementedError, TypeError):
        found["onednn"] = 0.0
    return found


def _rate(multiply: Callable[[], Any]) -> float:
    best = float("inf")
    for _ in range(_TIMES):
        began = time.perf_counter()
        multiply()
        best = min(best, time.perf_counter() - began)
    return 2.0 * _ROWS * _WIDTH * _WIDTH / best
