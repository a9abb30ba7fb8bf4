"""AdamW and the learning-rate schedules."""

from __future__ import annotations

import math

import torch

from affinage.models.adapted import AdaptedModel
from affinage.training.loop import Schedule


def make_optimizer(model: AdaptedModel, *, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW over what trains; only matrices decay (Loshchilov & Hutter, 2019)."""
    tensors = [tensor for _, tensor in model.trainable_parameters()]
    groups = [
        {"params": [tensor for tensor in tensors if tensor.ndim >= 2], "weight_decay": weight_decay},
        {"params": [tensor for tensor in tensors if tensor.ndim < 2], "weight_decay": 0.0},
    ]
    fused = all(tensor.is_floating_point() for tensor in tensors)
    filled = [group for group in groups if group["params"]]
    return torch.optim.AdamW(filled, lr=learning_rate, betas=(0.9, 0.98), eps=1e-8, fused=fused)


def make_schedule(kind: str, *, peak: float, steps: int, warmup: float, final: float) -> Schedule:
    """Linear rise over `warmup` of the steps, then cosine, linear or constant to `final` x peak at the last step."""
    rising = max(1, round(warmup * steps)) if warmup > 0 else 0

    def rate(step: int) -> float:
        if step <= rising:
            return peak * step / (rising + 1)
        progress = min(1.0, (step - rising) / max(1, steps - rising))
        fall = {"cosine": (1 + math.cos(math.pi * progress)) / 2, "linear": 1 - progress, "constant": 1.0}[kind]
        return peak * (final + (1 - final) * fall) if kind != "constant" else peak

    return rate
