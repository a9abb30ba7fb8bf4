"""Draws follow the distribution that the settings describe."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from affinage.errors import InputError
from affinage.generation import pieces
from affinage.generation.sampling import Sampling, sample


def reference(logits: torch.Tensor, sampling: Sampling) -> np.ndarray:
    """The distribution, written plainly: temper, keep the top k, renormalise, keep the nucleus, renormalise."""
    scaled = logits.double().numpy() / sampling.temperature
    probs = np.exp(scaled - scaled.max())
    probs /= probs.sum()
    order = np.argsort(-probs)
    kept = order[: sampling.top_k] if sampling.top_k else order
    shares = probs[kept] / probs[kept].sum()
    nucleus, held = [], 0.0
    for token, share in zip(kept, shares, strict=True):
        if held >= sampling.top_p:
            break
        nucleus.append(token)
        held += share
    expected = np.zeros_like(probs)
    expected[nucleus] = probs[nucleus] / probs[nucleus].sum()
    return expected


def draws(logits: torch.Tensor, sampling: Sampling, count: int = 20_000, seed: int = 11) -> np.ndarray:
    generator = random.Random(seed)
    counts = np.zeros(len(logits), int)
    for _ in range(count // 2_000):
        ids = sample(logits.repeat(2_000, 1), [sampling] * 2_000, [generator] * 2_000).tokens_B
        counts += np.bincount(ids.numpy(), minlength=len(logits))
    return counts


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 2.0, "top_k": 7},
        {"top_p": 0.8},
        {"top_k": 12, "top_p": 0.6},
        {"top_p": 1e-6},
        {"top_k": 1},
        {"top_k": 10_000, "top_p": 0.9},
    ],
)
def test_draws_follow_the_distribution(settings: dict[str, Any]) -> None:
    logits = torch.randn(40, generator=torch.Generator().manual_seed(3)) * 2
    sampling = Sampling(**{"temperature": 1.0, **settings})
    expected, counts = reference(logits, sampling), draws(logits, sampling)
    assert counts[expected == 0].sum() == 0
    seen = expected > 0
    if seen.sum() > 1:
        assert chisquare(counts[seen], expected[seen] * counts.sum()).pvalue > 1e-3


def test_a_wrong_distribution_would_be_noticed() -> None:
    logits = torch.randn(40, generator=torch.Generator().manual_seed(3)) * 2
    counts = draws(logits, Sampling(temperature=1.1))
    expected = reference(logits, Sampling(temperature=1.0))
    assert chisquare(counts, expected * counts.sum()).pvalue < 1e-3


@pytest.mark.parametrize("settings", [{}, {"top_p": 0.9}, {"top_k": 500, "temperature": 0.7}])
def test_draws_follow_the_distribution_of_a_vocabulary_of_several_pieces(settings: dict[str, Any]) -> None:
    logits = torch.randn(600, generator=torch.Generator().manual_seed(3)) / 3
    logits[300:310] += 4
    sampling = Sampling(**{"temperature": 1.0, **settings})
    expected, counts = reference(logits, sampling), draws(logits, sampling, count=60_000)
    seen = expected > 0
    assert len(logits) > 2 * pieces.PIECE
    assert counts[~seen].sum() == 0
    assert chisquare(counts[seen], expected[seen] * counts.sum()).pvalue > 1e-3


@pytest.mark.parametrize("vocabulary", [1, 7, 255, 256, 257, 512, 600])
def test_each_uniform_number_draws_the_token_that_cumulated_probabilities_name(vocabulary: int) -> None:
    weights = torch.rand(1, vocabulary, generator=torch.Generator().manual_seed(1)).square()
    weights[0, ::3] *= torch.tensor(0.0 if vocabulary > 1 else 1.0)
    cumulated = weights.double().cumsum(1)[0] / weights.double().sum()
    middles = ((cumulated - weights[0].double() / weights.double().sum() / 2)[weights[0] > 0]).tolist()
    drawn = pieces.inverse(weights.expand(len(middles), -1), torch.tensor(middles, dtype=torch.float64))
    assert drawn.tolist() == weights[0].nonzero()[:, 0].tolist()


@pytest.mark.parametrize("vocabulary", [1, 40, 256, 600])
def test_the_first_of_the_largest(vocabulary: int) -> None:
    values = torch.randn(50, vocabulary, generator=torch.Generator().manual_seed(2)).round()  # many are equal
    assert pieces.largest(values).tolist() == values.numpy().argmax(-1).tolist()


def test_log_probabilities_are_those_of_the_logits_at_any_temperature() -> None:
    logits = torch.randn(3, 400, generator=torch.Generator().manual_seed(0)) * 30  # probabilities down to e^-200
    expected = logits.double().log_softmax(-1)
    for temperature in (0.0, 0.5, 1.0, 40.0):
        chosen = sample(logits.clone(), [Sampling(temperature=temperature)] * 3, [random.Random(b) for b in range(3)])
        theirs = expected.gather(1, chosen.tokens_B[:, None])[:, 0]
        assert chosen.logprobs_B.tolist() == pytest.approx(theirs.tolist(), abs=1e-4)
    assert theirs.min() < -100


def test_greedy_takes_the_most_likely_token_and_no_random_number() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0]])
    generator = random.Random(1)
    assert sample(logits, [Sampling()], [generator]).tokens_B.tolist() == [1]
    assert generator.random() == random.Random(1).random()


def test_rows_do_not_disturb_each_other() -> None:
    logits = torch.randn(4, 300, generator=torch.Generator().manual_seed(0)) * 2
    samplings = [
        Sampling(),
        Sampling(temperature=1.0),
        Sampling(temperature=0.7, top_p=0.9),
        Sampling(temperature=1.3, top_k=280, top_p=0.99),
    ]
    together = sample(logits.clone(), samplings, [random.Random(seed) for seed in range(4)])
    alone = [sample(logits[b : b + 1].clone(), [samplings[b]], [random.Random(b)]) for b in range(4)]
    assert together.tokens_B.tolist() == [one.tokens_B.item() for one in alone]
    assert together.logprobs_B.tolist() == pytest.approx([one.logprobs_B.item() for one in alone], abs=1e-5)


@pytest.mark.parametrize(("number", "token"), [(0.0, 1), (1.0 - 2**-53, 2)])
def test_the_ends_of_the_random_range_never_draw_an_impossible_token(number: float, token: int) -> None:
    class Fixed(random.Random):
        def random(self) -> float:
            return number

    logits = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]])
    for sampling in (Sampling(temperature=1.0), Sampling(temperature=1.0, top_p=0.99)):
        assert sample(logits.clone(), [sampling], [Fixed()]).tokens_B.tolist() == [token]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 0},
        {"max_tokens": True},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": "hot"},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"top_k": 1.5},
        {"seed": -1},
        {"stop": "text"},
        {"stop": ("",)},
    ],
)
def test_values_out_of_range_are_refused_by_name(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(InputError, match=name):
        Sampling(**wrong)
