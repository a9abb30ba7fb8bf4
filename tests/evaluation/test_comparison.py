from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss

from affinage.evaluation.class_metrics import class_metrics, confusion
from affinage.evaluation.classification import ClassScores
from affinage.evaluation.comparison import compare_heads, compare_language
from affinage.evaluation.intervals import Interval
from affinage.evaluation.language import LanguageScores


def classifier(rows: int = 80, skill: float = 1.5, seed: int = 0) -> ClassScores:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 3, rows)
    logits = rng.normal(size=(rows, 3)) + skill * np.eye(3)[targets]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return ClassScores(probabilities, targets, ("a", "b", "c"))


def right_in(scores: ClassScores, right_R: np.ndarray) -> ClassScores:
    """Answers to the same rows that are right in these and wrong in all others."""
    said = np.where(right_R, scores.targets_R, (scores.targets_R + 1) % 3)
    return ClassScores(np.eye(3)[said], scores.targets_R, scores.labels)


def language(shift: float, seed: int = 0) -> LanguageScores:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(20, 60, 40).astype(float)
    nll = tokens * (rng.normal(3, 0.3, 40) + shift + np.random.default_rng(99).normal(0, 0.05, 40) * (shift != 0))
    return LanguageScores(nll, tokens, tokens * 4, np.floor(tokens / 3))


def test_language_shape_and_sentence() -> None:
    result = compare_language(
        language(0.0), language(-0.3), baselines={"unigram over the training tokens": Interval(5.0, 4.8, 5.2)}
    )
    document = json.loads(json.dumps(result.to_json()))
    assert document["schema"] == 1
    assert document["helped"] == "yes"
    assert document["metric"] == "loss"
    assert document["higher_is_better"] is False
    assert document["difference"]["high"] < 0
    assert document["rows"] == 40
    assert set(document["metrics"]) == {"loss", "perplexity", "bits_per_byte", "token_accuracy"}
    assert document["sentence"].startswith("The run helped: loss 3.0")
    assert "unigram over the training tokens: 5.000" in document["sentence"]
    assert document["forgetting"] is None


def test_worse_and_the_same() -> None:
    assert compare_language(language(0.0), language(0.3)).helped == "no"
    same = compare_language(language(0.0), language(0.0))
    assert same.helped == "not separable"
    assert "told from chance" in same.sentence


def test_a_better_cheap_alternative_is_said() -> None:
    result = compare_language(language(0.0), language(-0.1), baselines={"counting": Interval(1.0, 0.9, 1.1)})
    assert "but the best cheap alternative measured, counting: 1.000" in result.sentence


def test_other_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="different tokens"):
        compare_language(language(0.0), language(0.0, seed=1))


def test_new_head_is_held_against_the_best_baseline() -> None:
    scores = classifier(300, skill=2.5)
    rng = np.random.default_rng(1)
    weak, strong = (right_in(scores, rng.random(300) < share) for share in (0.4, 0.5))
    result = compare_heads(scores, baselines={"majority": weak, "tf-idf": strong}, folds=5)
    assert result.against == "tf-idf"
    assert result.before is None
    assert result.helped == "yes"
    assert "5-fold cross-validation" in result.sentence
    assert "also measured: majority" in result.sentence
    document = result.to_json()
    assert document["before"] is None
    assert document["folds"] == 5
    assert np.sum(document["metrics"]["confusion"]["after"]["counts"]) == 300
    with pytest.raises(ValueError, match="none was measured"):
        compare_heads(scores)


def test_a_head_that_existed_is_held_against_itself() -> None:
    worse = classifier(skill=0.5)
    result = compare_heads(
        classifier(skill=3.0), before=worse, baselines={"majority": right_in(worse, np.zeros(80, bool))}
    )
    assert result.against == "before"
    assert result.helped == "yes"
    assert result.before is not None
    assert result.metrics["confusion"]["before"] == {"labels": ["a", "b", "c"], "counts": confusion(worse).tolist()}
    assert set(result.metrics) == {"accuracy", "macro_f1", "log_loss", "ece", "confusion"}


def test_class_metrics_are_the_fields_own() -> None:
    scores = classifier()
    predicted = scores.probabilities_RC.argmax(axis=1)
    figures = class_metrics(scores)
    assert figures["accuracy"].value == pytest.approx(accuracy_score(scores.targets_R, predicted))
    assert figures["macro_f1"].value == pytest.approx(f1_score(scores.targets_R, predicted, average="macro"))
    assert figures["log_loss"].value == pytest.approx(log_loss(scores.targets_R, scores.probabilities_RC))
    assert confusion(scores)[0, 1] == ((scores.targets_R == 0) & (predicted == 1)).sum()
    for interval in figures.values():
        assert interval.low <= interval.value <= interval.high


def test_calibration_error_tells_sure_from_right() -> None:
    targets = np.where(np.arange(100) < 50, 0, 1)
    sure = ClassScores(np.tile([0.9, 0.1], (100, 1)), targets, ("a", "b"))
    right = ClassScores(np.eye(2)[targets], targets, ("a", "b"))
    assert class_metrics(sure)["ece"].value == pytest.approx(0.4)
    assert class_metrics(right)["ece"].value == pytest.approx(0.0)


def probe_on_noise(seed: int) -> bool:
    """A linear probe on random encodings with shuffled labels: is it said to have helped?"""
    rng = np.random.default_rng(seed)
    encodings, targets = rng.normal(size=(160, 12)), rng.integers(0, 3, 160)
    train, held = slice(0, 100), slice(100, 160)
    probe = LogisticRegression(max_iter=100).fit(encodings[train], targets[train])
    other = LogisticRegression(max_iter=100).fit(encodings[train, :4], targets[train])
    majority = Counter(targets[train].tolist()).most_common(1)[0][0]
    result = compare_heads(
        ClassScores(probe.predict_proba(encodings[held]), targets[held], ("a", "b", "c")),
        baselines={
            "majority": ClassScores(np.tile(np.eye(3)[majority], (60, 1)), targets[held], ("a", "b", "c")),
            "four features": ClassScores(other.predict_proba(encodings[held, :4]), targets[held], ("a", "b", "c")),
        },
    )
    return result.helped == "yes"


def test_shuffled_labels_do_not_help() -> None:
    assert sum(probe_on_noise(seed) for seed in range(50)) <= 2


def test_noise_on_language_does_not_help() -> None:
    found = 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        before = language(0.0, seed)
        noise = rng.standard_t(3, size=40) * 0.1 * before.tokens_R
        after = LanguageScores(before.nll_R + noise, before.tokens_R, before.bytes_R, before.hits_R)
        found += compare_language(before, after).helped == "yes"
    assert found <= 2
