"""How well rewards put a prompt's completions in the order in which people put them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from affinage.evaluation.intervals import Interval, Paired, mean_interval, paired
from affinage.evaluation.scores import HeadScores

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PreferenceScores(HeadScores):
    """Of each record the rewards of its completions (K,), and their ranks (1 the best, equal ranks are ties).

    What is counted are pairs of different rank; the record is the unit that was sampled, whose pairs hang together.
    """

    metric: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True
    rewards: Sequence[Floats]
    ranks: Sequence[Sequence[int]]

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def headline(self) -> Interval:
        return mean_interval(*self._sums(_hits))

    def change_from(self, before: PreferenceScores) -> Paired:
        own, weights = self._sums(_hits)
        return paired(before._sums(_hits)[0], own, weights)

    def metrics(self) -> dict[str, Interval]:
        """Pairs in the right order (a tie is half of one), nats per pair, and what both sides are given."""
        return {
            "accuracy": self.headline,
            "pair_loss": self._mean(lambda better, worse: np.logaddexp(0.0, worse - better)),
            "margin": self._mean(lambda better, worse: better - worse),
            "chosen_reward": self._mean(lambda better, worse: better),
            "rejected_reward": self._mean(lambda better, worse: worse),
        }

    def details(self) -> dict[str, Any]:
        return {}

    def said(self) -> list[str]:
        return [
            "; ".join(f"rank {rank}: {reward:+.2f}" for rank, reward in zip(ranks, rewards, strict=True))
            for rewards, ranks in zip(self.rewards, self.ranks, strict=True)
        ]

    def chosen(self, numbers: Sequence[int]) -> PreferenceScores:
        return PreferenceScores([self.rewards[n] for n in numbers], [self.ranks[n] for n in numbers])

    def loss(self, label_smoothing: float = 0.0) -> float:
        """Nats per pair, as objectives count them."""
        sums, pairs = self._sums(
            lambda better, worse: (
                (1 - label_smoothing) * np.logaddexp(0.0, worse - better)
                + label_smoothing * np.logaddexp(0.0, better - worse)
            )
        )
        return float(sums.sum() / (len(sums) if pairs is None else pairs.sum()))

    @classmethod
    def join(cls, parts: Sequence[PreferenceScores]) -> PreferenceScores:
        return cls(
            [rewards for part in parts for rewards in part.rewards], [ranks for part in parts for ranks in part.ranks]
        )

    def _mean(self, of_pairs: Any) -> Interval:
        sums, pairs = self._sums(of_pairs)
        if not sums.any():  # rewards that are all nothing are no counts
            return Interval(0.0, 0.0, 0.0)
        return mean_interval(sums, np.ones_like(sums) if pairs is None else pairs)

    def _sums(self, of_pairs: Any) -> tuple[Floats, Floats | None]:
        """Of each record the sum over its pairs, and how many it has (None: one each)."""
        sums, pairs = [], []
        for rewards, ranks in zip(self.rewards, self.ranks, strict=True):
            above = np.subtract.outer(np.array(ranks), np.array(ranks)) < 0
            better, worse = np.nonzero(above)
            sums.append(float(of_pairs(rewards[better], rewards[worse]).sum()))
            pairs.append(float(len(better)))
        return np.array(sums), None if set(pairs) == {1.0} else np.array(pairs)


def undecided(scores: PreferenceScores) -> PreferenceScores:
    """The same records with every completion worth the same: what a coin is right about."""
    return PreferenceScores([np.zeros(len(rewards)) for rewards in scores.rewards], scores.ranks)


def _hits(better: Floats, worse: Floats) -> Floats:
    return np.where(better == worse, 0.5, better > worse)
