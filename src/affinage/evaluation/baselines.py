"""What costs nearly nothing and must be beaten: what is usual, and word counts with a linear model.

Both learn from the training rows alone and score the held-out rows, row by row, so that paired tests can be made.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affinage.evaluation.classification import ClassScores
from affinage.evaluation.label_metrics import row_f1
from affinage.evaluation.multilabel import LabelScores
from affinage.evaluation.regression import NumberScores
from affinage.evaluation.thresholds import best_prefix, one_threshold

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]

FEW = 10  # rows of the rarest class below which the strength is not chosen but C = 10
STRENGTHS = (1.0, 10.0, 100.0)  # C: the inverse of the L2 penalty
SEARCHED = 2000  # rows on which the strength is chosen at most
FOLDS = 3
PENALTIES = (0.1, 1.0, 10.0)  # of the ridge


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
    targets_R, held_out = np.asarray(targets, np.int64), np.asarray(held_out_targets, np.int64)
    counter, features = counted(texts)
    if features is None:
        return majority(targets_R, held_out, labels)
    fitted = _fit(features, targets_R, _strength(features, targets_R, seed))
    probabilities_RC = np.zeros((len(held_out), len(labels)))
    if len(held_out):
        probabilities_RC[:, fitted.classes_] = fitted.predict_proba(counter.transform(held_out_texts))
    return ClassScores(probabilities_RC, held_out, labels)


def label_frequencies(targets: ArrayLike, held_out_targets: ArrayLike, labels: Sequence[str]) -> LabelScores:
    """The same labels for every row: the most frequent, as many as are best on the training rows."""
    known_RC, held_out = np.asarray(targets, bool), np.asarray(held_out_targets, bool)
    shares_C = (known_RC.sum(axis=0) + 0.5) / (len(known_RC) + 1)
    said_C = best_prefix(shares_C, known_RC)
    rows = (len(held_out), 1)
    return LabelScores(np.tile(shares_C, rows), held_out, np.tile(said_C, rows), labels)


def tfidf_labels(
    texts: Sequence[str],
    targets: ArrayLike,
    held_out_texts: Sequence[str],
    held_out_targets: ArrayLike,
    labels: Sequence[str],
    *,
    seed: int = 0,
) -> LabelScores:
    """tf-idf with a logistic regression for each label; strength and threshold cross-validated inside `texts`."""
    known_RC, held_out = np.asarray(targets, np.int64), np.asarray(held_out_targets, bool)
    counter, features = counted(texts)
    if features is None or len(known_RC) < 2 * FOLDS:
        return label_frequencies(known_RC, held_out, labels)
    strength, limit = _strength_and_limit(features, known_RC, seed)
    if not len(held_out):
        return LabelScores(held_out.astype(np.float64), held_out, held_out, labels)
    p_RC = _fit(features, known_RC, strength).predict_proba(counter.transform(held_out_texts))
    return LabelScores(p_RC, held_out, p_RC >= limit, labels)


def training_mean(targets: ArrayLike, held_out_targets: ArrayLike) -> NumberScores:
    """The mean of the training rows for every row: no constant has a smaller squared error on them."""
    held_out = np.asarray(held_out_targets, np.float64)
    mean_R = np.full(len(held_out), float(np.asarray(targets, np.float64).mean()))
    return NumberScores(mean_R, held_out, np.full(len(held_out), np.nan))


def tfidf_ridge(
    texts: Sequence[str],
    targets: ArrayLike,
    held_out_texts: Sequence[str],
    held_out_targets: ArrayLike,
    *,
    seed: int = 0,
) -> NumberScores:
    """tf-idf with a ridge regression, its penalty cross-validated inside `texts`."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, KFold

    known_R, held_out = np.asarray(targets, np.float64), np.asarray(held_out_targets, np.float64)
    counter, features = counted(texts)
    if features is None or len(known_R) < 2 * FOLDS or not len(held_out):
        return training_mean(known_R, held_out)
    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    search = GridSearchCV(Ridge(), {"alpha": PENALTIES}, cv=folds, scoring="neg_mean_squared_error")
    said_R = search.fit(features, known_R).predict(counter.transform(held_out_texts))
    return NumberScores(said_R, held_out, np.full(len(held_out), np.nan))


def counted(texts: Sequence[str]) -> tuple[Any, Any]:
    """The counter of words and word pairs, and what it counts in `texts`: None where there is not one word."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    counter = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    try:
        return counter, counter.fit_transform(texts)
    except ValueError:
        return counter, None


def _strength_and_limit(features: Any, known_RC: Numbers, seed: int) -> tuple[float, float]:
    """The penalty's strength and the one threshold that are best together on rows left out."""
    from sklearn.model_selection import KFold

    rows = np.random.default_rng(seed).permutation(len(known_RC))[:SEARCHED]
    features, known_RC = features[rows], known_RC[rows]
    best = (-1.0, STRENGTHS[0], 0.5)
    for strength in STRENGTHS:
        p_RC: Floats = np.zeros(known_RC.shape)
        for train, test in KFold(FOLDS, shuffle=True, random_state=seed).split(known_RC):
            p_RC[test] = _fit(features[train], known_RC[train], strength).predict_proba(features[test])
        limit = one_threshold(p_RC, known_RC.astype(bool))
        best = max(best, (float(row_f1(known_RC.astype(bool), p_RC >= limit).mean()), strength, limit))
    return best[1], best[2]


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
