"""The loss of a head, whatever it answers: cached encodings and the frozen model run end to end are one and the same."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional

from affinage.data.batches import Batch, Row, collate
from affinage.models.adapted import AdaptedModel
from affinage.models.encodings import encode_rows, encoded_batch
from affinage.models.heads import CLASSIFIER, ClassifierHead
from affinage.objectives.classify import ClassifyObjective
from affinage.recipe import HeadSettings
from tests.models.networks import VOCABULARY, bert, llama


def texts(lengths: tuple[int, ...] = (5, 17, 2, 9, 9, 30)) -> list[Row]:
    rng = np.random.default_rng(0)
    return [
        Row(rng.integers(3, VOCABULARY, n).astype(np.int32), np.zeros(n, np.float32), target=float(n % 3))
        for n in lengths
    ]


def with_head(kind: str, settings: HeadSettings, pooling: str, layer: int | None) -> AdaptedModel:
    network = llama() if kind == "llama" else bert()
    torch.manual_seed(3)
    head = ClassifierHead(["a", "b", "c"], 64, settings, pooling=pooling, layer=layer)
    model = AdaptedModel(network, causal=kind == "llama", heads={CLASSIFIER: head})
    model.network.requires_grad_(False)
    return model


def loss_and_gradient(
    model: AdaptedModel, objective: ClassifyObjective, batch: Batch
) -> tuple[float, list[torch.Tensor]]:
    model.zero_grad()
    loss = objective(model, batch).terms[0].total / objective.weigh(batch)["label"]
    loss.backward()
    gradients = [tensor.grad.clone() for _, tensor in model.trainable_parameters() if tensor.grad is not None]
    assert len(gradients) == len(list(model.trainable_parameters()))
    return float(loss.detach()), gradients


@pytest.mark.parametrize("kind", ["llama", "bert"])
@pytest.mark.parametrize(
    ("depth", "pooling", "layer"), [(1, "mean", None), (3, "last", 1), (2, "max", 0), (1, "first", -2)]
)
def test_cached_encodings_equal_the_frozen_model_run_end_to_end(
    kind: str, depth: int, pooling: str, layer: int | None
) -> None:
    model, rows = with_head(kind, HeadSettings(depth=depth, width=16), pooling, layer), texts()
    encoded = encode_rows(model, rows, pooling=pooling, layer=layer, budget=40, pad_id=0).vectors
    model.heads[CLASSIFIER].standardise(torch.from_numpy(encoded))  # type: ignore[operator]
    objective, direct = ClassifyObjective(pooling, layer), collate(rows, 0)
    cached = encoded_batch(torch.from_numpy(encoded), direct.extras["targets"])
    expected, expected_gradients = loss_and_gradient(model, objective, direct)
    found, found_gradients = loss_and_gradient(model, objective, cached)
    assert found == pytest.approx(expected, rel=1e-6)
    for one, other in zip(found_gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))


def test_the_loss_is_a_sum_over_rows_whatever_the_batching() -> None:
    model, rows, objective = with_head("llama", HeadSettings(), "mean", None), texts(), ClassifyObjective()
    whole = objective(model, collate(rows, 0)).terms[0].total
    parts = [objective(model, collate(part, 0)).terms[0].total for part in (rows[:1], rows[1:4], rows[4:])]
    torch.testing.assert_close(whole, torch.stack(parts).sum())
    assert objective.weigh(collate(rows, 0)) == {"label": 6.0}


def test_the_loss_is_the_textbook_cross_entropy_and_the_metric_counts_hits() -> None:
    model, rows, objective = with_head("bert", HeadSettings(), "mean", None), texts(), ClassifyObjective()
    batch = collate(rows, 0)
    logits = objective.logits(model, batch).detach().double()
    targets = batch.extras["targets"].long()
    expected = -(logits.exp() / logits.exp().sum(dim=1, keepdim=True)).log()[torch.arange(6), targets].sum()
    loss = objective(model, batch)
    assert float(loss.terms[0].total.detach()) == pytest.approx(float(expected), rel=1e-5)
    assert int(loss.metrics["accuracy"]) == int((logits.argmax(dim=1) == targets).sum())


def test_a_body_that_trains_gets_a_gradient_through_the_head_from_the_start() -> None:
    model = with_head("llama", HeadSettings(), "mean", None)
    model.network.model.requires_grad_(True)
    loss_and_gradient(model, ClassifyObjective(), collate(texts(), 0))
    for name, tensor in model.network.model.layers.named_parameters():
        assert tensor.grad is not None, name
        assert tensor.grad.abs().sum() > 0, name


def asked(task: str) -> tuple[AdaptedModel, list[Row]]:
    """A model whose head answers in the way of `task`, and rows that ask for it."""
    rng = np.random.default_rng(1)
    model, rows = with_head("bert", HeadSettings(), "mean", None), texts()
    if task == "multi":
        rows = [replace(row, target=rng.integers(0, 2, 3).astype(np.float32)) for row in rows]
    elif task == "number":
        rows = [replace(row, target=1800.0 + 30 * number) for number, row in enumerate(rows)]
    torch.manual_seed(4)
    head = ClassifierHead([] if task == "number" else ["a", "b", "c"], 64, HeadSettings(task=task))
    torch.nn.init.normal_(head.layers[0].weight, std=0.3)
    head.start(collate(rows, 0).extras["targets"])
    model.heads[CLASSIFIER] = head
    return model, rows


@pytest.mark.parametrize("task", ["multi", "number"])
def test_other_answers_have_the_plain_loss_too(task: str) -> None:
    model, rows = asked(task)
    objective, batch = ClassifyObjective(), collate(rows, 0)
    logits, targets = objective.logits(model, batch), batch.extras["targets"]
    if task == "multi":
        assert targets.shape == (6, 3)
        expected = functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
    else:
        values = np.array([row.target for row in rows])
        wanted = torch.from_numpy((values - values.mean()) / values.std()).float()
        expected = ((logits[:, 0] - wanted) ** 2).sum()
    found = objective(model, batch).terms[0].total
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


@pytest.mark.parametrize("task", ["multi", "number"])
def test_other_answers_are_sums_over_rows_and_blind_to_padding(task: str) -> None:
    model, rows = asked(task)
    objective = ClassifyObjective()
    whole = objective(model, collate(rows, 0)).terms[0].total
    for cuts in ((1, 4), (2, 3, 5)):
        edges = (0, *cuts, len(rows))
        parts = [collate(rows[a:b], 0) for a, b in pairwise(edges)]
        torch.testing.assert_close(torch.stack([objective(model, part).terms[0].total for part in parts]).sum(), whole)
    alone = [objective.logits(model, collate([row], 0)) for row in rows]
    torch.testing.assert_close(torch.cat(alone), objective.logits(model, collate(rows, 7)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("task", ["multi", "number"])
def test_other_answers_come_from_cached_encodings_as_well(task: str) -> None:
    model, rows = asked(task)
    direct = collate(rows, 0)
    encoded = encode_rows(model, rows, pooling="mean", layer=None, budget=40, pad_id=0).vectors
    cached = encoded_batch(torch.from_numpy(encoded), direct.extras["targets"])
    expected, expected_gradients = loss_and_gradient(model, ClassifyObjective(), direct)
    found, found_gradients = loss_and_gradient(model, ClassifyObjective(), cached)
    assert found == pytest.approx(expected, rel=1e-6)
    for one, other in zip(found_gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))
