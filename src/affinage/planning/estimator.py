"""What a run will cost in time and memory, from shapes alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from affinage.planning.plan import Facts

_FLOPS = {"cpu": 30e9, "cuda": 100e12, "mps": 2e12}  # per CPU thread; sustained in training, cautious
_RUNTIME_BYTES = 500 * 2**20  # interpreter, torch and libraries
_PER_TOKEN = 24  # float32 activations kept per token, block and unit of width


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds and the largest memory in bytes."""

    seconds: float
    peak_bytes: int


def estimate(facts: Facts, *, micro_tokens: int, tokens: int) -> Estimate:
    """Forward 2, backward 4 operations per weight and token; a frozen part is spared its half of the backward."""
    device = facts.machine.device.split(":")[0]
    speed = _FLOPS[device] * (facts.machine.threads if device == "cpu" else 1)
    once = sum(facts.lengths)
    head = facts.train == "head"
    share = facts.trainable_parameters / max(1, facts.parameters)
    per_token = facts.parameters * (2 if head else 4 + 2 * min(1.0, share))
    held = (facts.held_out_rows + facts.validation_rows) / max(1, facts.train_rows) * once
    work = (once if head else tokens) * per_token + 4 * held * facts.parameters
    width = 2 if facts.machine.dtype != "float32" else 4
    weights = facts.parameters * width + facts.trainable_parameters * 12
    activations = micro_tokens * facts.width * (1 if head else facts.blocks) * _PER_TOKEN * width
    return Estimate(3.0 + work / speed, int(_RUNTIME_BYTES + weights + activations))
