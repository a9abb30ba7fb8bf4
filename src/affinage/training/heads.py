"""Fit a head on cached encodings with the one loop: validation rows choose how long, and its scale at the end."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from affinage.data.batches import Batch
from affinage.models.adapted import AdaptedModel
from affinage.models.encodings import EncodedBatches, Vectors, encoded_batch, evaluating, target_tensor
from affinage.objectives.base import Objective
from affinage.training.loop import train
from affinage.training.optimizer import make_optimizer, make_schedule


@dataclass(frozen=True, slots=True)
class HeadFit:
    """How a head was fitted: the step that was kept, of how many, and its validation loss per row."""

    best_step: int
    steps: int
    validation_loss: float


def fit_head(
    model: AdaptedModel,
    objective: Objective,
    encodings: Vectors,
    targets: NDArray[Any],
    validation: tuple[Vectors, NDArray[Any]] | None,
    defaults: dict[str, Any],
    *,
    seed: int,
) -> HeadFit:
    """Train what is trainable on `model` (its head) on encodings (R, H) and targets, (R,) or (R, C).

    Args:
        validation: encodings and targets that choose the step to keep; None: the last one is kept.
        defaults: as `models.heads.head_defaults` gives them.
    """
    batches = EncodedBatches(
        encodings, targets, batch_rows=defaults["batch_rows"], epochs=defaults["epochs"], seed=seed
    )
    every = max(1, len(batches) // defaults["evaluations"])
    optimizer = make_optimizer(
        model, "adamw", learning_rate=defaults["learning_rate"], weight_decay=defaults["weight_decay"]
    )
    schedule = make_schedule(
        defaults["schedule"],
        peak=defaults["learning_rate"],
        steps=len(batches),
        warmup=defaults["warmup"],
        final=defaults["final_rate"],
    )
    checked = encoded_batch(torch.from_numpy(validation[0]), target_tensor(validation[1])) if validation else None
    kept, steps = HeadFit(0, 0, float("nan")), 0
    best: dict[str, Any] = {}
    for step in train(model, objective, batches, optimizer, schedule, clip=defaults["clip"]):
        steps = step.step
        if checked is None or steps % every:
            continue
        loss = mean_loss(model, objective, checked)
        if not best or loss < kept.validation_loss:
            kept, best = HeadFit(steps, steps, loss), copy.deepcopy(model.heads.state_dict())
        elif defaults["patience"] and steps - kept.best_step >= defaults["patience"] * every:
            break
    if not best:
        return HeadFit(steps, steps, float("nan"))
    model.heads.load_state_dict(best)
    return HeadFit(kept.best_step, steps, kept.validation_loss)


@torch.no_grad()
def mean_loss(model: AdaptedModel, objective: Objective, batch: Batch) -> float:
    """The objective on one batch per unit that it is summed over, nothing dropped out."""
    weights = objective.weigh(batch)
    with evaluating(model):
        loss = objective(model, batch.to(model.device))
    return float(np.sum([term.coefficient * float(term.total) / weights[term.name] for term in loss.terms]))
