"""The learning rate by trainable, width and length of the run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from affinage.planning.plan import Facts

# Peak rates of AdamW at width 256; matrices of wider models take smaller steps (rate ~ 1 / sqrt(width)).
_AT_256 = {"full": 1e-3, "last": 1.5e-3, "adapter": 4e-3}
_SHARES = {"dpo": 0.05, "reward": 0.1}  # of these, where a few bits a row are learned: docs/decisions.md


def learning_rate(facts: Facts, steps: int) -> tuple[float, str]:
    """Peak learning rate and why."""
    if facts.random_start:
        return 4e-3 * math.sqrt(256 / facts.width), "a random start"
    family = "full" if facts.train == "full" else "last" if facts.train.startswith("last") else "adapter"
    rate = _AT_256[family] * math.sqrt(256 / facts.width)
    rate *= min(1.0, max(0.5, 300 / max(300, steps)))
    rate *= _SHARES.get(facts.objective, 1.0)
    said = f"{family} at width {facts.width}, {steps} steps"
    return float(f"{rate:.2g}"), f"{said}, {facts.objective}" if facts.objective in _SHARES else said
