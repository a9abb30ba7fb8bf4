"""What really happens inside a run: the model it trains, what stood in it before, and which tensors got a gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from affinage.data.batches import Row
from affinage.data.groups import GroupBatches
from affinage.models.adapted import AdaptedModel
from affinage.training.loop import Step
from affinage.tuning import fit


class Watch:
    """Stands at the one loop's door while a run trains; training itself is left as it is.

    Attributes:
        model: the model in training, at the end the trained one.
        start: every tensor of it as it was before the first step, by name.
        reached: names of the tensors that got a gradient other than zero in some step.
        first_loss: nats per learned unit before the first step, computed row by row with transformers' own forward.
    """

    model: AdaptedModel
    start: dict[str, Tensor]
    first_loss: float | None

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached: set[str] = set()
        self._train = fit.train
        monkeypatch.setattr(fit, "train", self._watched)

    def _watched(self, model: AdaptedModel, objective: Any, batches: Any, *rest: Any, **named: Any) -> Iterator[Step]:
        self.model = model
        self.start = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
        rows = getattr(batches, "rows", None)  # a frozen network's encodings have none
        if isinstance(batches, GroupBatches):
            self.first_loss = plain_pair_loss(model, rows, objective)
        else:
            self.first_loss = None if rows is None else plain_loss(model, rows)
        for name, tensor in model.named_parameters():
            if tensor.requires_grad:
                tensor.register_post_accumulate_grad_hook(self._note(name))
        yield from self._train(model, objective, batches, *rest, **named)

    def _note(self, name: str) -> Any:
        def seen(tensor: Tensor) -> None:
            if tensor.grad is not None and bool(tensor.grad.any()):
                self.reached.add(name)

        return seen


@torch.no_grad()
def plain_loss(model: AdaptedModel, rows: Sequence[Row]) -> float:
    """The loss that a step over these rows has to report: no batches, no padding, no code of the objectives."""
    model.eval()
    total = units = 0.0
    for row in rows:
        tokens = torch.from_numpy(row.tokens_T.astype("int64"))[None]
        if row.target is None:
            learned = torch.from_numpy(row.weights_T)[1:] > 0
            logits = model.network(input_ids=tokens).logits[0, :-1][learned]
            total += float(functional.cross_entropy(logits, tokens[0, 1:][learned], reduction="sum"))
            units += int(learned.sum())
        else:
            states = _last_states(model, tokens)
            total += plain_head_loss(model.heads["classifier"], states.mean(dim=1), row.target)
            units += 1
    return total / units


def plain_head_loss(head: Any, encodings_1H: Tensor, target: Any) -> float:
    """What one row costs, from the head's logits and buffers alone."""
    logits = head(encodings_1H)
    buffers = dict(head.named_buffers())
    if isinstance(target, np.ndarray):
        return float(functional.binary_cross_entropy_with_logits(logits[0], torch.tensor(target), reduction="sum"))
    if "centre" in buffers:
        return float((logits[0, 0] - (target - buffers["centre"]) / buffers["spread"]) ** 2)
    return float(functional.cross_entropy(logits, torch.tensor([int(target)])))


@torch.no_grad()
def plain_pair_loss(model: AdaptedModel, rows: Sequence[Row], objective: Any) -> float:
    """As `plain_loss`, where rows are a better and a worse answer in turn; the reference is the live one."""
    model.eval()
    rewards = []
    for row in rows:
        tokens = torch.from_numpy(row.tokens_T.astype("int64"))[None]
        if "reward" in model.heads:
            rewards.append(float(model.heads["reward"](_last_states(model, tokens)[:, -1])))
            continue
        policy = _log_probability(model.network, tokens, row)
        with model.network.disable_adapter() if hasattr(model.network, "disable_adapter") else nullcontext():
            rewards.append(objective.beta * (policy - _log_probability(model.network, tokens, row)))
    margins = torch.tensor(rewards).view(-1, 2) @ torch.tensor([1.0, -1.0])
    return float(functional.softplus(-margins).mean())


def _last_states(model: AdaptedModel, tokens: Tensor) -> Tensor:
    """Transformers leaves its listeners on the layers where it is asked for all states, so it is only where it must."""
    if model.virtual_tokens:
        states: Tensor = model.network(input_ids=tokens, output_hidden_states=True).hidden_states[-1]
        return states
    return model.plain.base_model(input_ids=tokens).last_hidden_state  # type: ignore[no-any-return]


def _log_probability(network: Any, tokens: Tensor, row: Row) -> float:
    learned = torch.from_numpy(row.weights_T)[1:] > 0
    logits = network(input_ids=tokens).logits[0, :-1][learned]
    return -float(functional.cross_entropy(logits, tokens[0, 1:][learned], reduction="sum"))
