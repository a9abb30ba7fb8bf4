"""What a training held and left behind, and what full tuning of the same base would have, computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from affinage.device import watch_memory
from affinage.models.adapted import find_blocks
from affinage.models.trainables import count_trainable
from affinage.training.optimizer import expected_state_bytes
from affinage.tuning.fit import Fitted
from affinage.tuning.prepared import Prepared

HEADS = "heads.safetensors"


def watched(prepared: Prepared) -> Callable[[], int | None]:
    """Watch the memory of the run's device from here on (see `device.watch_memory`)."""
    return watch_memory(prepared.machine.device)


def footprint(prepared: Prepared, fitted: Fitted, saved: Path, memory: int | None) -> dict[str, Any]:
    """The part of evaluation.json's `training` that says what it took.

    Args:
        saved: the folder of the saved model.
        memory: most bytes held while training (its validation included) above what was held before it began.

    Returns:
        `trainable_parameters`, `parameters` (of the base), `optimizer_bytes`, `saved_bytes` (weights and heads),
        `memory_bytes`, `seconds_per_step`; and `full`: the same of full tuning as far as it can be computed, None where
        this was one.
    """
    facts = prepared.plan.facts
    whole = prepared.train == "full" and prepared.recipe.layers is None
    return {
        "trainable_parameters": facts.trainable_parameters,
        "parameters": facts.parameters,
        "optimizer_bytes": fitted.optimizer_bytes,
        "saved_bytes": sum(file.stat().st_size for file in saved.glob("*.safetensors")),
        "memory_bytes": memory,
        "seconds_per_step": fitted.step_seconds,
        "full": None if whole else _full(prepared, saved),
    }


def _full(prepared: Prepared, saved: Path) -> dict[str, Any]:
    """Full tuning holds and saves float32 whatever the base's type; heads of ours are saved beside it."""
    facts, recipe = prepared.plan.facts, prepared.recipe
    skeleton = prepared.base.skeleton()
    moving = count_trainable(
        recipe.model_copy(update={"layers": None}), "full", prepared.base, skeleton,
        classes=facts.classes, reward=facts.objective == "reward",
    )  # fmt: skip
    matrices = sum(tensor.numel() for tensor in find_blocks(skeleton).parameters() if tensor.ndim == 2)
    heads = saved / HEADS
    return {
        "trainable_parameters": moving,
        "optimizer_bytes": expected_state_bytes(recipe.optimizer, moving=moving, matrices=matrices),
        "saved_bytes": 4 * facts.parameters + (heads.stat().st_size if heads.exists() else 0),
        "computed": True,
    }
