"""What tells preferred answers apart for nearly nothing: a coin, their length, their words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from affinage.data.records import Preference
from affinage.data.wording import said
from affinage.evaluation.baselines import counted
from affinage.evaluation.preferences import Floats, PreferenceScores, undecided

STRENGTH = 10.0  # C of the logistic regression: the inverse of the L2 penalty
MOST = 20_000  # pairs that it learns from at most


class Compared(NamedTuple):
    """Training records, and those that are scored."""

    train: Sequence[Preference]
    held_out: Sequence[Preference]


def coin(sides: Compared) -> PreferenceScores:
    """Every completion is worth the same."""
    return undecided(by_length(sides))


def by_length(sides: Compared) -> PreferenceScores:
    """The longer answer, or the shorter one where people preferred that more often in the training rows."""
    longer = 0
    for record in sides.train:
        lengths = _lengths(record)
        longer += sum(int(np.sign(lengths[better] - lengths[worse])) for better, worse in pairs(record))
    sign = 1.0 if longer >= 0 else -1.0
    return _scores(sides.held_out, lambda record: sign * _lengths(record))


def by_words(sides: Compared) -> PreferenceScores:
    """tf-idf of words and word pairs with logistic regression on the difference of two answers."""
    from scipy.sparse import vstack
    from sklearn.linear_model import LogisticRegression

    texts = [said(done) for record in sides.train for done in record.completions]
    counter, features = counted(texts)
    if features is None:
        return coin(sides)
    first = np.cumsum([0, *(len(record.completions) for record in sides.train)])
    found = [
        (start + better, start + worse)
        for record, start in zip(sides.train, first, strict=False)
        for better, worse in pairs(record)
    ][:MOST]
    better, worse = (list(side) for side in zip(*found, strict=True))
    differences = features[better] - features[worse]
    model = LogisticRegression(C=STRENGTH, fit_intercept=False, solver="liblinear")
    model.fit(vstack([differences, -differences]), np.repeat([1, 0], len(found)))
    return _scores(
        sides.held_out,
        lambda record: np.asarray(
            model.decision_function(counter.transform([said(done) for done in record.completions]))
        ),
    )


RIVALS: dict[str, Callable[[Compared], PreferenceScores]] = {
    "a coin": coin,
    "length alone": by_length,
    "tf-idf + logistic regression": by_words,
}


def pairs(record: Preference) -> list[tuple[int, int]]:
    """Numbers of the better and the worse completion of each pair of different rank."""
    numbers = range(len(record.ranks))
    return [(i, j) for i in numbers for j in numbers if record.ranks[i] < record.ranks[j]]


def _lengths(record: Preference) -> Floats:
    return np.array([float(len(said(done))) for done in record.completions])


def _scores(records: Sequence[Preference], reward: Callable[[Preference], Floats]) -> PreferenceScores:
    return PreferenceScores([reward(record) for record in records], [record.ranks for record in records])
