"""Scores of preferences: pairs in the right order, the record as the unit, and what costs nearly nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from affinage.data.records import Message, Preference
from affinage.evaluation.comparison import compare_heads
from affinage.evaluation.preference_baselines import RIVALS, Compared, by_length, by_words
from affinage.evaluation.preferences import PreferenceScores, undecided


def scores(*rewards: list[float]) -> PreferenceScores:
    return PreferenceScores([np.array(own) for own in rewards], [tuple(range(1, len(own) + 1)) for own in rewards])


def test_pairs_are_counted_and_a_tie_is_half_of_one() -> None:
    found = scores([2.0, 1.0], [0.0, 1.0], [1.0, 1.0], [3.0, 0.0])
    assert found.headline.value == pytest.approx(2.5 / 4)
    assert found.metrics()["margin"].value == pytest.approx((1 - 1 + 0 + 3) / 4)
    assert found.metrics()["chosen_reward"].value == pytest.approx(6 / 4)
    expected = np.mean([math.log1p(math.exp(-margin)) for margin in (1, -1, 0, 3)])
    assert found.loss() == found.metrics()["pair_loss"].value == pytest.approx(expected)
    flipped = np.mean([math.log1p(math.exp(margin)) for margin in (1, -1, 0, 3)])
    assert found.loss(0.2) == pytest.approx(0.8 * expected + 0.2 * flipped)


def test_a_ranking_counts_its_pairs_and_not_its_ties() -> None:
    found = PreferenceScores([np.array([2.0, 0.0, 1.0]), np.array([0.0, 5.0])], [(1, 2, 2), (1, 2)])
    assert found.headline.value == pytest.approx(2 / 3)
    assert scores([2.0, 1.0, 0.0]).loss() == pytest.approx(0.251150, abs=1e-6)


def test_a_policy_is_held_against_its_own_start() -> None:
    rng = np.random.default_rng(0)
    after = scores(*([float(rng.normal(1)), 0.0] for _ in range(60)))
    found = compare_heads(after, before=undecided(after), baselines={"none": undecided(after)})
    assert (found.before.value, found.before.low, found.before.high) == (0.5, 0.5, 0.5)
    assert found.helped == "yes"
    assert found.metrics["pair_loss"]["before"]["value"] == pytest.approx(math.log(2))
    assert compare_heads(undecided(after), before=undecided(after), baselines={}).helped == "not separable"


def test_scores_of_folds_join_and_parts_can_be_taken() -> None:
    one, two = scores([1.0, 0.0]), scores([0.0, 1.0], [2.0, 0.0])
    joined = PreferenceScores.join([one, two])
    assert len(joined) == 3
    assert joined.chosen([0, 2]).headline.value == 1.0
    assert joined.said()[1] == "rank 1: +0.00; rank 2: +1.00"


def record(best: str, worst: str, number: int) -> Preference:
    turns = (Message("assistant", best), Message("assistant", worst))
    return Preference(messages=(Message("user", f"Say {number}"),), completions=turns, ranks=(1, 2))


def test_length_and_words_are_learned_from_the_training_rows_alone() -> None:
    short = [record(f"ripe {n}", f"ripe and very long indeed {n}", n) for n in range(12)]
    assert by_length(Compared(short[:8], short[8:])).headline.value == 1.0
    turned = [record(f"ripe and very long indeed {n}", f"ripe {n}", n) for n in range(12)]
    assert by_length(Compared(short[:8], turned[8:])).headline.value == 0.0
    words = [record(f"thank you kindly {n}", f"go away now {n}", n) for n in range(12)]
    assert by_words(Compared(words[:8], words[8:])).headline.value == 1.0
    assert {name: rival(Compared(words[:8], words[8:])).headline.value for name, rival in RIVALS.items()}[
        "a coin"
    ] == 0.5


def test_answers_without_a_word_are_no_failure() -> None:
    rows = [record("!", "?", n) for n in range(4)]
    assert by_words(Compared(rows[:2], rows[2:])).headline.value == 0.5
