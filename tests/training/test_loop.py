"""The loop: sums divided once, whatever the micro-batches; broken numbers are refused before they reach the weights."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch

from affinage.data.batches import Batch, Row, collate
from affinage.errors import RunError
from affinage.models.adapted import AdaptedModel
from affinage.objectives.language import LanguageObjective
from affinage.training.loop import train
from affinage.training.optimizer import make_optimizer, make_schedule
from tests.models.networks import VOCABULARY, llama


def rows(count: int, seed: int = 0) -> list[Row]:
    """Ragged rows whose prompts (the first tokens) are not learned from."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        length = int(rng.integers(4, 30))
        weights = np.ones(length, np.float32)
        weights[: int(rng.integers(1, length))] = 0
        made.append(Row(rng.integers(3, VOCABULARY, length).astype(np.int32), weights))
    return made


def batches(all_rows: list[Row], size: int) -> list[Batch]:
    return [collate(list(part), 0) for part in itertools.batched(all_rows, size)] if hasattr(itertools, "batched") else [
        collate(all_rows[start : start + size], 0) for start in range(0, len(all_rows), size)
    ]  # fmt: skip


def gradients(network: torch.nn.Module, parts: list[Batch]) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of one optimizer step over `parts`, read from a rate of 1 with plain SGD."""
    model = AdaptedModel(copy.deepcopy(network), causal=True)
    before = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    (step,) = train(model, LanguageObjective(), [parts], optimizer, lambda _: 1.0, clip=0)
    return step.loss, {name: before[name] - tensor.detach() for name, tensor in model.named_parameters()}


@pytest.mark.parametrize("size", [8, 4, 2, 1, 3])
def test_accumulation_equals_one_batch(size: int) -> None:
    network = llama()
    loss, whole = gradients(network, batches(rows(8), 8))
    other, split = gradients(network, batches(rows(8), size))
    assert other == pytest.approx(loss, rel=1e-6)
    for name, gradient in whole.items():
        torch.testing.assert_close(split[name], gradient, rtol=1e-5, atol=1e-6, msg=name)


def test_loss_and_gradient_equal_transformers_own() -> None:
    network = llama()
    batch = batches(rows(6), 6)[0]
    loss, ours = gradients(network, [batch])
    labels = batch.tokens_BT.masked_fill(batch.weights_BT == 0, -100)
    theirs = network(input_ids=batch.tokens_BT, attention_mask=batch.mask_BT.long(), labels=labels).loss
    theirs.backward()
    assert loss == pytest.approx(float(theirs), rel=1e-6)
    for name, tensor in network.named_parameters():
        torch.testing.assert_close(ours[f"network.{name}"], tensor.grad, rtol=1e-5, atol=1e-6, msg=name)


def test_steps_are_numbered_and_every_learned_token_is_counted() -> None:
    model = AdaptedModel(llama(), causal=True)
    optimizer = make_optimizer(model, "adamw", learning_rate=1e-3, weight_decay=0.0)
    one, two, three, four, five = batches(rows(5), 1)
    given = [[one, two], [three, four], [five]]
    steps = list(train(model, LanguageObjective(), given, optimizer, lambda _: 1e-3))
    assert [step.step for step in steps] == [1, 2, 3]
    assert sum(step.learned_tokens for step in steps) == sum(row.learned for row in rows(5))


def test_a_loss_that_is_not_a_number_leaves_the_weights_alone() -> None:
    network = llama()
    with torch.no_grad():
        network.model.norm.weight[0] = math.inf
    model = AdaptedModel(network, causal=True)
    before = copy.deepcopy(model.state_dict())
    optimizer = make_optimizer(model, "adamw", learning_rate=1e-3, weight_decay=0.0)
    with pytest.raises(RunError, match="step 1: the loss is not a number"):
        list(train(model, LanguageObjective(), [batches(rows(2), 2)], optimizer, lambda _: 1e-3))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_nothing_learned_is_an_error() -> None:
    row = Row(np.arange(3, 9, dtype=np.int32), np.zeros(6, np.float32))
    model = AdaptedModel(llama(), causal=True)
    optimizer = make_optimizer(model, "adamw", learning_rate=1e-3, weight_decay=0.0)
    with pytest.raises(RunError, match="no token of this step is learned from"):
        list(train(model, LanguageObjective(), [[collate([row], 0)]], optimizer, lambda _: 1e-3))


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_one_batch_is_overfitted(name: str) -> None:
    model = AdaptedModel(llama(), causal=True)
    optimizer = make_optimizer(model, name, learning_rate=3e-3, weight_decay=0.0)
    batch = batches(rows(4), 4)
    losses = [step.loss for step in train(model, LanguageObjective(), [batch] * 60, optimizer, lambda _: 3e-3)]
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("kind", ["cosine", "linear", "constant"])
def test_schedules_rise_then_fall(kind: str) -> None:
    rate = make_schedule(kind, peak=1.0, steps=100, warmup=0.1, final=0.1)
    values = [rate(step) for step in range(1, 101)]
    assert values[:10] == sorted(values[:10])
    assert max(values) <= 1.0
    assert values[-1] == pytest.approx(1.0 if kind == "constant" else 0.1)
    assert all(a >= b for a, b in itertools.pairwise(values[10:]))
