"""AdamW, Muon, and the learning-rate schedules.

A parameter group may carry a `scale`: the loop sets its rate to scale x the schedule's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from affinage.errors import RunError
from affinage.models.adapted import AdaptedModel
from affinage.training.loop import Schedule

BETAS = (0.9, 0.98)
MUON_SCALE = 2.0  # measured on the bundled base's first steps: see docs/decisions.md


def make_optimizer(
    model: AdaptedModel, name: str, *, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """`adamw` over everything that trains, or `muon` on the blocks' matrices with AdamW on the rest.

    Raises:
        RunError: nothing trains.
    """
    tensors = dict(model.trainable_parameters())
    if not tensors:
        raise RunError("nothing is left to train: no tensor of the model may move", fix="choose another `train`")
    if name == "adamw":
        return _adamw(list(tensors.values()), learning_rate, weight_decay)
    inside = {id(tensor) for tensor in model.blocks.parameters()}
    matrices = [tensor for tensor in tensors.values() if tensor.ndim == 2 and id(tensor) in inside]
    chosen = {id(tensor) for tensor in matrices}
    rest = [tensor for tensor in tensors.values() if id(tensor) not in chosen]
    parts: list[torch.optim.Optimizer] = []
    if matrices:
        rate = MUON_SCALE * learning_rate
        parts.append(torch.optim.Muon(matrices, lr=rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"))
        parts[-1].param_groups[0]["scale"] = MUON_SCALE
    if rest:
        parts.append(_adamw(rest, learning_rate, 0.0))
    return Together(parts)


def _adamw(tensors: list[nn.Parameter], learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """Only matrices decay (Loshchilov & Hutter, 2019)."""
    groups = [
        {"params": [tensor for tensor in tensors if tensor.ndim >= 2], "weight_decay": weight_decay},
        {"params": [tensor for tensor in tensors if tensor.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=learning_rate, betas=BETAS, eps=1e-8, fused=True)


class Together(torch.optim.Optimizer):
    """Several optimizers over disjoint tensors, as one: one step, one state."""

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        self.parts = parts
        super().__init__([p for part in parts for group in part.param_groups for p in group["params"]], {})
        self.param_groups = [group for part in parts for group in part.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """As one optimizer would give it: parameters numbered through."""
        state: dict[int, Any] = {}
        groups: list[dict[str, Any]] = []
        for part in self.parts:
            own = part.state_dict()
            first = sum(len(group["params"]) for group in groups)
            state.update({first + number: values for number, values in own["state"].items()})
            groups += [{**g, "params": [first + number for number in g["params"]]} for g in own["param_groups"]]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        first, used = 0, 0
        for part in self.parts:
            count = len(part.param_groups)
            groups = state_dict["param_groups"][used : used + count]
            size = sum(len(group["params"]) for group in groups)
            own = {n - first: values for n, values in state_dict["state"].items() if first <= n < first + size}
            shifted = [{**group, "params": [n - first for n in group["params"]]} for group in groups]
            part.load_state_dict({"state": own, "param_groups": shifted})
            first, used = first + size, used + count
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of what the optimizer holds beside weights and gradients, as it is now (nothing before its first step)."""
    held = optimizer.state_dict()["state"].values()
    return sum(value.nbytes for values in held for value in values.values() if isinstance(value, torch.Tensor))


def expected_state_bytes(name: str, *, moving: int, matrices: int) -> int:
    """As `state_bytes` would say after a step, computed, up to the few bytes that count the steps of each tensor.

    Args:
        moving: weights that train.
        matrices: those of them that lie in matrices of the blocks, for which muon holds one number and AdamW two.
    """
    return 4 * (2 * moving - (matrices if name == "muon" else 0))


def make_schedule(kind: str, *, peak: float, steps: int, warmup: float, final: float) -> Schedule:
    """Linear rise over `warmup` of the steps, then cosine, linear or constant to `final` x peak at the last step."""
    rising = max(1, round(warmup * steps)) if warmup > 0 else 0

    def rate(step: int) -> float:
        if step <= rising:
            return peak * step / (rising + 1)
        if kind == "constant":
            return peak
        progress = min(1.0, (step - rising) / max(1, steps - rising))
        fall = (1 + math.cos(math.pi * progress)) / 2 if kind == "cosine" else 1 - progress
        return peak * (final + (1 - final) * fall)

    return rate
