"""The three kinds of answer: losses are the field's own, scales are fitted once, saved with the head and used."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch.nn import functional

from affinage.models.heads import ClassifierHead
from affinage.recipe import HeadSettings

LABELS = ["late", "lost", "warm"]


def head_for(task: str, depth: int = 1) -> ClassifierHead:
    torch.manual_seed(0)
    labels = [] if task == "number" else LABELS
    head = ClassifierHead(labels, 6, HeadSettings(depth=depth, width=5, task=task))
    for tensor in head.parameters():
        torch.nn.init.normal_(tensor)
    return head


@pytest.mark.parametrize("task", ["single", "multi"])
def test_losses_are_torchs_own_sums(task: str) -> None:
    head, logits = head_for(task), torch.randn(7, 3) * 4
    if task == "single":
        targets = torch.randint(0, 3, (7,))
        expected = functional.cross_entropy(logits, targets, reduction="sum")
    else:
        targets = torch.randint(0, 2, (7, 3)).float()
        expected = torch.nn.BCEWithLogitsLoss(reduction="sum")(logits, targets)
    assert torch.equal(head.loss(logits, targets), expected)


def test_the_squared_error_is_plain_on_standardised_numbers() -> None:
    head, numbers = head_for("number"), torch.tensor([1841.0, 1900.0, 1856.0, 1911.0])
    head.start(numbers)
    logits = torch.randn(4, 1)
    wanted = (numbers - numbers.mean()) / numbers.std(correction=0)
    torch.testing.assert_close(head.loss(logits, numbers), ((logits[:, 0] - wanted) ** 2).sum(), rtol=1e-6, atol=0)
    torch.testing.assert_close(head.answers(wanted[:, None])[:, 0], numbers, rtol=1e-6, atol=0)
    assert float(head.loss(torch.zeros(4, 1), numbers)) == pytest.approx(4.0, rel=1e-5)  # the mean, in deviations


def test_numbers_that_never_vary_keep_their_unit() -> None:
    head = head_for("number")
    head.start(torch.full((5,), 7.0))
    assert float(head.loss(torch.zeros(5, 1), torch.full((5,), 7.0))) == 0.0


def test_several_labels_start_from_how_often_each_occurs() -> None:
    head = head_for("multi")
    targets = torch.zeros(1000, 3)
    targets[:500, 0], targets[:10, 1] = 1, 1
    head.start(targets)
    found = head.answers(head.layers[-1].bias[None])[0]
    torch.testing.assert_close(found, torch.tensor([0.5, 0.0105, 0.0005]), atol=1e-4, rtol=0)


def test_each_label_has_its_own_threshold() -> None:
    head = head_for("multi")
    assert head.say([0.6, 0.2, 0.5])["labels"] == ["late", "warm"]
    head.scales["thresholds"].copy_(torch.tensor([0.7, 0.1, 0.6]))
    assert head.say([0.6, 0.2, 0.5]) == {
        "labels": ["lost"],
        "probabilities": {"late": 0.6, "lost": 0.2, "warm": 0.5},
    }
    assert head.say([0.1, 0.05, 0.2])["labels"] == []


def test_a_number_has_bounds_once_they_are_known() -> None:
    head = head_for("number")
    assert head.say([3.5]) == {"value": 3.5, "low": None, "high": None}
    head.scales["reach"].fill_(2.0)
    assert head.say([3.5]) == {"value": 3.5, "low": 1.5, "high": 5.5}


def test_one_temperature_flattens_every_label() -> None:
    head, logits = head_for("multi"), torch.tensor([[2.0, -4.0, 0.0]])
    head.scales["temperature"].fill_(2.0)
    expected = [1 / (1 + math.exp(-1)), 1 / (1 + math.exp(2)), 0.5]
    torch.testing.assert_close(head.answers(logits)[0], torch.tensor(expected))


@pytest.mark.parametrize("task", ["single", "multi", "number"])
def test_a_head_of_each_kind_comes_back_bit_for_bit(task: str) -> None:
    head = head_for(task, depth=2)
    for number, value in enumerate(head.scales.values()):
        value.fill_(0.3 + number)
    again = ClassifierHead.from_settings(json.loads(json.dumps(head.settings)))
    again.load_state_dict(head.state_dict())
    encodings = torch.randn(5, 6)
    assert torch.equal(again.answers(again(encodings)), head.answers(head(encodings)))
    assert again.task.name == task
    assert {name: float(value.sum()) for name, value in again.scales.items()} == {
        name: float(value.sum()) for name, value in head.scales.items()
    }


def test_a_head_of_an_older_run_says_one_label() -> None:
    settings = head_for("single").settings
    settings.pop("task")
    assert ClassifierHead.from_settings(settings).task.name == "single"


@pytest.mark.parametrize("task", ["single", "multi", "number"])
def test_the_figure_beside_the_loss_counts_what_it_says(task: str) -> None:
    head = head_for(task)
    logits = torch.tensor([[3.0, -1.0, -1.0], [-1.0, 2.0, 1.0]])
    if task == "single":
        found, expected = head.figures(logits, torch.tensor([0, 2])), 1.0
    elif task == "multi":
        found, expected = head.figures(logits, torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])), 1 + 2 / 3
    else:
        found, expected = head.figures(logits[:, :1], torch.tensor([1.0, 1.0])), 4.0
    assert float(found) == pytest.approx(expected)
