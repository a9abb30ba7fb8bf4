"""What costs nearly nothing and must be beaten: the most frequent class, and word counts with a linear classifier.

Both learn from the training rows alone and score the held-out rows, row by row, so that paired tests can be made.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affinage.evaluation.classification import ClassScores

Numbers = NDArray[np.int64]

FEW = 10  # rows of the rarest class below which the strength is not chosen but C = 10
STRENGTHS = (1.0, 10.0, 100.0)  # C: the inverse of the L2 penalty
SEARCHED = 2000  # rows on which the strength is chosen at most
FOLDS = 3


def majority(targets: ArrayLike, held_out_targets: ArrayLike, labels: Sequence[str]) -> ClassScores:
    """Always the most frequent class of the training rows; its probabilities are their (smoothed) shares."""
    counts_C = np.bincount(np.asarray(targets, np.int64), minlength=len(labels)) + 1.0
    held_out = np.asarray(held_out_targets, np.int64)
    return ClassScores(np.tile(counts_C / counts_C.sum(), (len(held_out), 1)), held_out, labels)


def tfidf_logistic(
    texts: Sequence[str],
    targets: ArrayLike,
    held_out_texts: Sequence[str],
    held_out_targets: ArrayLike,
    labels: Sequence[str],
    *,
    seed: int = 0,
) -> ClassScores:
    """tf-idf of words and word pairs with logistic regression, its strength cross-validated inside `texts`."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    targets_R, held_out = np.asarray(targets, np.int64), np.asarray(held_out_targets, np.int64)
    counter = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    try:
        features = counter.fit_transform(texts)
    except ValueError:  # not one word in all the texts
        return majority(targets_R, held_out, labels)
    fitted = _fit(features, targets_R, _strength(features, targets_R, seed))
    probabilities_RC = np.zeros((len(held_out), len(labels)))
    if len(held_out):
        probabilities_RC[:, fitted.classes_] = fitted.predict_proba(counter.transform(held_out_texts))
    return ClassScores(probabilities_RC, held_out, labels)


def _strength(features: Any, targets_R: Numbers, seed: int) -> float:
    from sklearn.model_selection import StratifiedKFold

    rows = np.random.default_rng(seed).permutation(len(targets_R))[:SEARCHED]
    counts = np.bincount(targets_R[rows])
    if counts[counts > 0].min() < FEW:
        return 10.0
    features, targets_R = features[rows], targets_R[rows]
    hits = dict.fromkeys(STRENGTHS, 0)
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(targets_R, targets_R):
        for strength in STRENGTHS:
            predicted = _fit(features[train], targets_R[train], strength).predict(features[test])
            hits[strength] += int((predicted == targets_R[test]).sum())
    return max(STRENGTHS, key=lambda strength: hits[strength])


def _fit(features: Any, targets_R: Numbers, strength: float) -> Any:
    """One against the rest: on sparse counts as good as the joint model, and many times faster with many classes."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a step limit reached is no news to the reader of a report
        single = LogisticRegression(C=strength, solver="liblinear")
        return OneVsRestClassifier(single).fit(features, targets_R)
