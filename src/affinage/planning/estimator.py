"""What a run will cost in time and memory: shapes, and how fast a matrix product is here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from affinage.device import product_speed

if TYPE_CHECKING:
    from affinage.planning.plan import Facts

_SUSTAINED = {"float32": 0.5, "bfloat16": 0.35, "float16": 0.35}  # share of a product's speed that training keeps up
_RUNTIME_BYTES = 500 * 2**20  # interpreter, torch and libraries
_PER_TOKEN = 24  # float32 activations kept per token, block and unit of width


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds and the largest memory in bytes."""

    seconds: float
    peak_bytes: int


def estimate(facts: Facts, *, micro_tokens: int, tokens: int) -> Estimate:
    """Forward 2, backward 4 operations per weight and token; a frozen part is spared its half of the backward."""
    here = facts.machine
    speed = product_speed(here.device, here.dtype, here.threads) * _SUSTAINED[here.dtype]
    once = facts.tokens
    head = facts.train == "head"
    share = facts.trainable_parameters / max(1, facts.parameters)
    per_token = facts.parameters * (2 if head else 4 + 2 * min(1.0, share))
    held = (facts.held_out_rows + facts.validation_rows) / max(1, facts.train_rows) * once
    work = (once if head else tokens) * per_token + 4 * held * facts.parameters
    width = 2 if here.dtype != "float32" else 4
    weights = facts.parameters * width + facts.trainable_parameters * 12
    activations = micro_tokens * facts.width * (1 if head else facts.blocks) * _PER_TOKEN * width
    return Estimate(3.0 + work / speed, int(_RUNTIME_BYTES + weights + activations))
