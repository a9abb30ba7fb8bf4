"""The one training loop, as a generator: logging, evaluation, saving and stopping belong to the caller."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from affinage.data.batches import Batch
from affinage.errors import RunError
from affinage.models.adapted import AdaptedModel
from affinage.objectives.base import Loss, Objective

Schedule = Callable[[int], float]  # number of the optimizer step, from 1 -> learning rate


@dataclass(frozen=True, slots=True)
class Step:
    """One finished optimizer step. Losses are in nats per learned unit; `seconds` is this step's own time, `metrics` what
    the objective has to say besides, divided as its first term is."""

    step: int
    loss: float
    tokens: int
    learned_tokens: int
    learning_rate: float
    gradient_norm: float
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)


def train(
    model: AdaptedModel,
    objective: Objective,
    steps: Iterable[Sequence[Batch]],
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    *,
    clip: float = 1.0,
    done: int = 0,
) -> Iterator[Step]:
    """Take each of `steps`, given as its micro-batches, and yield what happened.

    Every denominator is counted over the whole step before its first backward pass, so that 1 x 8 = 8 x 1 = 4 x 2 also
    with ragged rows. `done` is the number of steps already taken (a resumed run).

    Raises:
        RunError: the loss or a gradient is not finite; the weights are still those of the step before.
    """
    parameters = [tensor for _, tensor in model.trainable_parameters()]
    model.train()
    began = time.perf_counter()
    for number, window in enumerate(steps, done + 1):
        rate = schedule(number)
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        loss, metrics = _accumulate(model, objective, window)
        norm = _gradient_norm(parameters, clip)
        _refuse_broken(number, loss, norm, rate)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield Step(
            step=number,
            loss=loss,
            tokens=sum(batch.tokens for batch in window),
            learned_tokens=sum(batch.learned for batch in window),
            learning_rate=rate,
            gradient_norm=norm,
            seconds=time.perf_counter() - began,
            metrics=metrics,
        )
        model.train()  # the caller may have evaluated
        began = time.perf_counter()


def denominators(objective: Objective, window: Sequence[Batch]) -> dict[str, float]:
    """What each term is divided by: its weight over all micro-batches of the step."""
    totals: dict[str, float] = {}
    for batch in window:
        for name, weight in objective.weigh(batch).items():
            totals[name] = totals.get(name, 0.0) + weight
    return totals


def _accumulate(model: AdaptedModel, objective: Objective, window: Sequence[Batch]) -> tuple[float, dict[str, float]]:
    divisors = denominators(objective, window)
    if not any(divisors.values()):
        raise RunError("no token of this step is learned from", fix="`affinage inspect DATA` shows what is learned")
    total, metrics = 0.0, Counter[str]()
    for batch in window:
        found = objective(model, batch.to(model.device))
        loss = _divided(found, divisors)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
        first = divisors[found.terms[0].name] or 1.0
        metrics.update({name: float(value) / first for name, value in found.metrics.items()})
    return total, dict(metrics)


def _divided(loss: Loss, divisors: dict[str, float]) -> torch.Tensor:
    parts = [term.coefficient * term.total / divisors[term.name] for term in loss.terms if divisors[term.name]]
    return torch.stack(parts).sum()


def _gradient_norm(parameters: list[nn.Parameter], clip: float) -> float:
    return float(torch.nn.utils.clip_grad_norm_(parameters, clip if clip > 0 else math.inf))


def _refuse_broken(number: int, loss: float, norm: float, rate: float) -> None:
    if math.isfinite(loss) and math.isfinite(norm):
        return
    what = "loss" if not math.isfinite(loss) else "gradient"
    raise RunError(
        f"step {number}: the {what} is not a number (loss {loss}, gradient norm {norm}, learning rate {rate:.2g})",
        fix=f"the last good checkpoint is kept; try --set learning_rate={rate / 10:.1g}, or look at the rows with "
        "`affinage inspect`",
    )
