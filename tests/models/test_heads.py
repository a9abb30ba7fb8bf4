"""Pooling and the dense head: real tokens only, standardised inputs, saved as it was."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from affinage.errors import InputError
from affinage.models.heads import ClassifierHead, classifier, head_defaults, pool
from affinage.recipe import HeadSettings

LABELS = ["late", "lost", "warm"]


def test_pooling_sees_real_tokens_only() -> None:
    hidden = torch.tensor([[[1.0], [2.0], [6.0]], [[-3.0], [-5.0], [99.0]]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    pooled = {how: pool(hidden, mask, how).flatten().tolist() for how in ("mean", "last", "first", "max")}
    assert pooled == {"mean": [3.0, -4.0], "last": [6.0, -5.0], "first": [1.0, -3.0], "max": [6.0, -3.0]}


@pytest.mark.parametrize("how", ["mean", "last", "first", "max"])
def test_what_stands_in_the_padding_does_not_count_even_when_it_is_no_number(how: str) -> None:
    hidden = torch.randn(2, 5, 4)
    mask = torch.arange(5)[None] < torch.tensor([[5], [3]])
    dirty = hidden.masked_fill(~mask.unsqueeze(-1), torch.nan)
    torch.testing.assert_close(pool(dirty, mask, how), pool(hidden, mask, how))
    assert pool(hidden.bfloat16(), mask, how).dtype == torch.float32


def test_an_unknown_pooling_is_refused() -> None:
    with pytest.raises(InputError, match="median"):
        pool(torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool), "median")


def test_standardised_features_have_mean_0_and_deviation_1_and_constant_ones_stay_finite() -> None:
    encodings = torch.randn(500, 4) * torch.tensor([1e-3, 1.0, 50.0, 0.0]) + torch.tensor([5.0, 0.0, -900.0, 7.0])
    head = ClassifierHead(LABELS, 4, HeadSettings())
    head.standardise(encodings)
    scaled = (encodings - head.mean) / head.std
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(scaled.std(dim=0), torch.tensor([1.0, 1.0, 1.0, 0.0]), atol=5e-3, rtol=0)
    assert head(encodings).isfinite().all()


@pytest.mark.parametrize(("depth", "width"), [(1, 256), (2, 8), (4, 5)])
def test_depth_and_width_make_the_layers(depth: int, width: int) -> None:
    head = ClassifierHead(LABELS, 6, HeadSettings(depth=depth, width=width))
    shapes = [tuple(layer.weight.shape) for layer in head.layers]
    assert shapes == [(b, a) for a, b in zip([6, *[width] * (depth - 1)], [*[width] * (depth - 1), 3], strict=True)]
    assert head(torch.randn(2, 6)).shape == (2, 3)


def test_hidden_layers_are_not_linear_and_dropout_only_acts_in_training() -> None:
    head = ClassifierHead(LABELS, 6, HeadSettings(depth=2, width=8, dropout=0.5))
    encodings = torch.randn(4, 6)
    assert not torch.equal(head(encodings), head(encodings))
    head.eval()
    torch.testing.assert_close(head(encodings), head(encodings), rtol=0, atol=0)
    zero = head(torch.zeros(4, 6))
    assert not torch.allclose(head(2 * encodings) - zero, 2 * (head(encodings) - zero), rtol=1e-2)


def test_the_temperature_scales_probabilities_and_keeps_the_choice() -> None:
    head = ClassifierHead(LABELS, 6, HeadSettings())
    encodings = 30 * torch.randn(20, 6)
    sharp = head.answers(head(encodings))
    head.scales["temperature"].fill_(5.0)
    flat = head.answers(head(encodings))
    torch.testing.assert_close(flat, torch.softmax(head(encodings) / 5, dim=-1))
    assert (flat.max(dim=1).values < sharp.max(dim=1).values).all()
    assert torch.equal(flat.argmax(dim=1), sharp.argmax(dim=1))


def test_a_head_comes_back_from_its_settings_and_weights_bit_for_bit() -> None:
    head = ClassifierHead(LABELS, 6, HeadSettings(depth=3, width=7, dropout=0.1), pooling="max", layer=1)
    head.standardise(torch.randn(30, 6) * 4 + 1)
    head.scales["temperature"].fill_(1.7)
    again = ClassifierHead.from_settings(json.loads(json.dumps(head.settings)))
    again.load_state_dict(head.state_dict())
    assert again.settings == head.settings
    encodings = torch.randn(5, 6)
    assert torch.equal(again.answers(again.eval()(encodings)), head.answers(head.eval()(encodings)))


@pytest.mark.parametrize("change", [{"depth": 0}, {"labels": None}, {"inputs": "wide"}, {"pooling": "median"}])
def test_broken_settings_are_refused(change: dict[str, object]) -> None:
    settings = ClassifierHead(LABELS, 6, HeadSettings()).settings | change
    with pytest.raises(InputError, match="settings"):
        ClassifierHead.from_settings(settings)


def test_a_model_without_a_head_says_so() -> None:
    bare = torch.nn.Module()
    bare.heads = torch.nn.ModuleDict()
    with pytest.raises(InputError, match="no classification head"):
        classifier(bare)


def test_few_rows_get_many_passes_and_many_rows_few() -> None:
    few, many = head_defaults(100, 3, 64), head_defaults(1_000_000, 3, 64)
    assert few["epochs"] > many["epochs"] >= 1
    cases = ((100, few), (1_000_000, many))
    steps = [defaults["epochs"] * np.ceil(rows / defaults["batch_rows"]) for rows, defaults in cases]
    assert steps[0] <= steps[1]


def test_few_rows_take_small_steps() -> None:
    rates = [head_defaults(rows, 3, 64)["learning_rate"] for rows in (10, 500, 2500, 5000, 10**6)]
    assert rates == sorted(rates)
    assert (rates[0], rates[-1]) == (1e-3, 1e-2)
    with pytest.raises(InputError, match="0 outputs"):
        head_defaults(10, 0, 64)
