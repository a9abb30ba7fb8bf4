"""Scores of rows with several labels or a number: scikit-learn's figures, honest intervals, fair baselines."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import metrics
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from affinage.errors import RunError
from affinage.evaluation.baselines import label_frequencies, tfidf_labels, tfidf_ridge, training_mean
from affinage.evaluation.calibration import fit_reach, fit_temperature
from affinage.evaluation.comparison import compare_heads
from affinage.evaluation.label_metrics import Precisions, row_f1
from affinage.evaluation.measures import MEASURES
from affinage.evaluation.multilabel import LabelScores
from affinage.evaluation.regression import NumberScores
from affinage.evaluation.thresholds import GRID, best_prefix, fit_thresholds, one_threshold

LABELS = ["a", "b", "c", "d"]


def several(rows: int = 150, seed: int = 0, skill: float = 1.5) -> LabelScores:
    """Labels of which the last is rare; some rows have none, and probabilities come in steps, so that some are equal."""
    rng = np.random.default_rng(seed)
    targets = rng.random((rows, 4)) < [0.5, 0.3, 0.2, 0.05]
    logits = rng.normal(size=(rows, 4)) + skill * (2 * targets - 1)
    p = np.round(1 / (1 + np.exp(-logits)), 2)
    return LabelScores(p, targets, p >= 0.5, LABELS)


def numbers(rows: int = 150, seed: int = 0, noise: float = 1.0) -> NumberScores:
    rng = np.random.default_rng(seed)
    true = rng.normal(50, 3, rows)
    return NumberScores(true + noise * rng.normal(size=rows), true, np.full(rows, 1.645 * noise))


def test_the_figures_of_several_labels_are_scikit_learns() -> None:
    scores = several()
    true, said, p = scores.targets_RC, scores.said_RC, scores.probabilities_RC
    figures = scores.metrics()
    peers = {
        "row_f1": metrics.f1_score(true, said, average="samples", zero_division=1),
        "micro_f1": metrics.f1_score(true, said, average="micro"),
        "macro_f1": metrics.f1_score(true, said, average="macro"),
        "subset_accuracy": metrics.accuracy_score(true, said),
        "hamming_loss": metrics.hamming_loss(true, said),
        "average_precision": metrics.average_precision_score(true, p, average="macro"),
        "log_loss": sum(metrics.log_loss(true[:, c], np.clip(p[:, c], 1e-12, 1)) for c in range(4)),
    }
    assert {name: figures[name].value for name in peers} == pytest.approx(peers)
    assert set(figures) - set(peers) == {"ece"}
    assert scores.headline == figures["row_f1"]
    for name, interval in figures.items():
        assert interval.low <= interval.value <= interval.high, name


def test_the_table_is_scikit_learns_label_by_label() -> None:
    scores = several()
    precision, recall, f1, rows = metrics.precision_recall_fscore_support(scores.targets_RC, scores.said_RC)
    for place, row in enumerate(scores.details()["labels"]):
        assert row["label"] == LABELS[place]
        assert (row["rows"], row["said"]) == (rows[place], scores.said_RC[:, place].sum())
        assert [row["precision"], row["recall"], row["f1"]] == pytest.approx(
            [precision[place], recall[place], f1[place]]
        )
    nobody = LabelScores(np.full((3, 1), 0.1), np.zeros((3, 1)), np.zeros((3, 1)), ["x"])
    row = nobody.details()["labels"][0]
    assert [row[key] for key in ("precision", "recall", "f1", "average_precision")] == [None] * 4
    assert nobody.headline.value == 1.0  # nothing to find, nothing said
    assert nobody.metrics()["micro_f1"].value == 1.0


def test_average_precision_on_a_resample_is_that_of_the_repeated_rows() -> None:
    scores, rng = several(60), np.random.default_rng(3)
    counts = np.bincount(rng.integers(0, 60, 60), minlength=60)
    rows = np.repeat(np.arange(60), counts)
    found = Precisions(scores.targets_RC, scores.probabilities_RC).of(counts)
    for label in range(3):
        peer = metrics.average_precision_score(scores.targets_RC[rows, label], scores.probabilities_RC[rows, label])
        assert found[label] == pytest.approx(peer)


def test_the_figures_of_numbers_are_scikit_learns_and_scipys() -> None:
    from scipy import stats

    scores = numbers()
    true, said = scores.targets_R, scores.said_R
    figures = scores.metrics()
    peers = {
        "rmse": metrics.root_mean_squared_error(true, said),
        "mae": metrics.mean_absolute_error(true, said),
        "r2": metrics.r2_score(true, said),
        "pearson": stats.pearsonr(true, said).statistic,
        "spearman": stats.spearmanr(true, said).statistic,
        "within_interval": float((np.abs(true - said) <= 1.645).mean()),
    }
    assert {name: figure.value for name, figure in figures.items()} == pytest.approx(peers)
    for name, interval in figures.items():
        assert interval.low <= interval.value <= interval.high, name


def test_answers_that_never_vary_have_no_correlation_and_no_warning() -> None:
    scores = training_mean([1.0, 2.0, 3.0], np.arange(20.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = {name: value.to_json() for name, value in scores.metrics().items()}
    assert figures["pearson"] == {"value": None, "low": None, "high": None}
    assert figures["r2"]["value"] is not None
    assert "within_interval" not in figures


def test_the_interval_of_an_rmse_and_of_a_difference_hold_the_truth() -> None:
    inside = within = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        true = rng.normal(size=60)
        before, after = (
            NumberScores(true + spread * rng.normal(size=60), true, np.full(60, np.nan)) for spread in (2.0, 1.5)
        )
        inside += after.headline.low <= 1.5 <= after.headline.high
        change = after.change_from(before).difference
        assert change.value == pytest.approx(after.headline.value - before.headline.value)
        within += change.low <= -0.5 <= change.high
    assert inside >= 91
    assert within >= 91


@pytest.mark.parametrize("make", [several, numbers])
def test_parts_join_to_the_whole_and_some_rows_are_chosen(make: Any) -> None:
    whole = make(50)
    again = whole.join([whole.chosen(range(20)), whole.chosen(range(20, 50))])
    assert again.to_json() == whole.to_json()
    assert len(whole.chosen([3, 1])) == 2
    assert whole.chosen([3, 1]).said() == [whole.said()[3], whole.said()[1]]
    with pytest.raises(ValueError, match="join"):
        whole.join([])


def test_what_does_not_belong_together_or_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="labels"):
        LabelScores(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3)), ["a"])
    with pytest.raises(RunError, match="not numbers"):
        LabelScores(np.full((2, 1), np.nan), np.ones((2, 1)), np.ones((2, 1)), ["a"])
    with pytest.raises(ValueError, match="intervals"):
        NumberScores(np.ones(2), np.ones(3), np.ones(2))
    with pytest.raises(RunError, match="not numbers"):
        NumberScores(np.array([np.inf]), np.ones(1), np.ones(1))


def test_answers_are_told_in_words() -> None:
    scores = LabelScores(np.array([[0.9, 0.2], [0.1, 0.3]]), np.zeros((2, 2)), np.array([[1, 1], [0, 0]]), ["a", "b"])
    assert scores.said() == ["a (90 %), b (20 %)", "none (likeliest: b, 30 %)"]
    assert NumberScores([3.14159, 2.0], [3.0, 2.0], [1.0, np.nan]).said() == ["3.142 (2.142 to 4.142)", "2"]


def test_thresholds_find_what_was_planted_and_leave_rare_labels_alone() -> None:
    rng = np.random.default_rng(0)
    p = rng.random((2000, 3))
    limits = np.array([0.3, 0.7, 0.5])
    targets = p >= limits
    found = fit_thresholds(p, targets)
    assert np.abs(found - limits).max() <= 0.051
    few = targets.copy()
    few[19:, 1] = False
    assert fit_thresholds(p, few)[1] == one_threshold(p, few)
    assert one_threshold(np.array([[0.9], [0.1]]), np.array([[True], [False]])) == 0.5
    assert one_threshold(p, p >= 0.8) in GRID


def test_fitted_thresholds_never_lose_on_their_own_rows() -> None:
    for seed in range(5):
        scores = several(120, seed, skill=0.8)
        p, true = scores.probabilities_RC, scores.targets_RC
        fitted = row_f1(true, p >= fit_thresholds(p, true)).mean()
        assert fitted >= row_f1(true, p >= one_threshold(p, true)).mean() - 1e-12


def test_the_usual_labels_are_the_best_that_can_be_said_of_every_row() -> None:
    targets = several(300).targets_RC
    found = best_prefix(targets.mean(axis=0), targets)
    every = [np.array([bool(code >> place & 1) for place in range(4)]) for code in range(16)]
    best = max(row_f1(targets, np.tile(said, (300, 1))).mean() for said in every)
    assert row_f1(targets, np.tile(found, (300, 1))).mean() == pytest.approx(best)
    scores = label_frequencies(targets, several(40, 1).targets_RC, LABELS)
    assert (scores.said_RC == scores.said_RC[0]).all()


def test_one_temperature_is_found_over_all_labels() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(8000, 3)) * 2
    targets = (rng.random(true.shape) < 1 / (1 + np.exp(-true))).astype(np.float32)
    for factor in (0.5, 3.0):
        found = fit_temperature(true * factor, targets)
        assert found.temperature == pytest.approx(factor, rel=0.05)
        assert found.error_after < 0.02 < found.error_before


def test_the_reach_holds_nine_in_ten_new_rows() -> None:
    held = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        reach = fit_reach(np.zeros(40), rng.standard_t(3, 40))
        held.append(np.mean(np.abs(rng.standard_t(3, 400)) <= reach))
    assert 0.89 <= np.mean(held) <= 0.93
    assert fit_reach(np.zeros(8), np.ones(8)) == 0.0
    assert fit_reach(np.zeros(9), np.arange(9.0)) == 8.0


def reviews(rows: int, seed: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Texts in which each label has a word of its own, and a number that counts the labels."""
    rng = np.random.default_rng(seed)
    targets = rng.random((rows, 4)) < 0.35
    filler = [f"word{number}" for number in range(40)]
    texts = [
        " ".join([*rng.choice(filler, 8), *(f"tell{c}" for c in np.flatnonzero(row) for _ in range(2))])
        for row in targets
    ]
    return texts, targets, targets.sum(axis=1) * 10.0 + rng.normal(size=rows)


def test_word_counts_find_telling_words_and_see_training_rows_only() -> None:
    texts, targets, stars = reviews(200, 0)
    held, held_targets, held_stars = reviews(80, 1)
    found = tfidf_labels(texts, targets, held, held_targets, LABELS)
    assert found.headline.value > 0.95 > 0.7 > label_frequencies(targets, held_targets, LABELS).headline.value
    flipped = tfidf_labels(texts, targets, held, ~held_targets, LABELS)
    np.testing.assert_array_equal(found.said_RC, flipped.said_RC)
    ridge = tfidf_ridge(texts, stars, held, held_stars)
    assert ridge.headline.value < 0.5 * training_mean(stars, held_stars).headline.value
    np.testing.assert_array_equal(ridge.said_R, tfidf_ridge(texts, stars, held, -held_stars).said_R)


def test_word_counts_take_texts_without_words_few_rows_and_labels_of_every_row_or_none() -> None:
    for texts in (["!", "?"] * 5, ["one", "two"]):
        targets = np.tile([[True, False]], (len(texts), 1))
        assert tfidf_labels(texts, targets, ["x"], [[True, False]], ["a", "b"]).headline.value == 1.0
        assert tfidf_ridge(texts, np.arange(len(texts)), ["x"], [0.0]).said_R[0] == np.mean(np.arange(len(texts)))
    texts, targets, _ = reviews(60, 0)
    targets[:, 0], targets[:, 1] = True, False
    found = tfidf_labels(texts, targets, texts, targets, LABELS)
    assert found.said_RC[:, 0].all()
    assert not found.said_RC[:, 1].any()


def noise_helps(task: str, seed: int) -> bool:
    """A linear head on encodings that know nothing of the targets: is it said to have helped?"""
    rng = np.random.default_rng(seed)
    encodings = rng.normal(size=(260, 10))
    train, check, held = slice(0, 140), slice(140, 200), slice(200, 260)
    texts = [" ".join(rng.choice(["a1", "b2", "c3", "d4", "e5"], 6)) for _ in range(260)]
    if task == "multi":
        targets = rng.random((260, 3)) < [0.5, 0.3, 0.15]
        head = OneVsRestClassifier(LogisticRegression()).fit(encodings[train], targets[train])
        p = head.predict_proba(encodings)
        limits = fit_thresholds(p[check], targets[check])
        after: Any = LabelScores(p[held], targets[held], p[held] >= limits, LABELS[:3])
        rivals = {
            "usual": label_frequencies(targets[train], targets[held], LABELS[:3]),
            "words": tfidf_labels(texts[train], targets[train], texts[held], targets[held], LABELS[:3]),
        }
    else:
        targets = rng.lognormal(1.0, 1.0, 260)  # skewed, as counts and prices are
        said = LinearRegression().fit(encodings[train], targets[train]).predict(encodings[held])
        after = NumberScores(said, targets[held], np.full(60, np.nan))
        rivals = {
            "usual": training_mean(targets[train], targets[held]),
            "words": tfidf_ridge(texts[train], targets[train], texts[held], targets[held]),
        }
    return compare_heads(after, baselines=rivals).helped == "yes"


@pytest.mark.parametrize("task", ["multi", "number"])
def test_what_means_nothing_hardly_ever_helps(task: str) -> None:
    assert sum(noise_helps(task, seed) for seed in range(30)) <= 2


def test_parts_of_the_rows_are_kept_alike() -> None:
    targets = several(200).targets_RC
    strata = MEASURES["multi"].strata(targets)
    assert (strata[targets[:, 3]] == 3).all()  # the rarest label of a row
    assert set(strata[~targets.any(axis=1)]) == {4}
    tenths = MEASURES["number"].strata(np.arange(100.0))
    assert np.bincount(tenths).tolist() == [10] * 10


def test_a_comparison_says_what_was_measured_in_the_datas_own_unit() -> None:
    after, held = numbers(80, noise=0.5), numbers(80, noise=0.5).targets_R
    result = compare_heads(after, baselines={"mean of the training rows": training_mean([49.0, 51.0], held)})
    assert result.helped == "yes"
    assert result.higher_is_better is False
    assert "root mean squared error" in result.sentence
    assert result.difference.value < 0
    assert set(result.metrics["points"]["after"]) == {"true", "said"}
    best = compare_heads(several(200, skill=3), baselines={"x": several(200, skill=0.0), "y": several(200, skill=0.5)})
    assert (best.against, best.helped, best.metric) == ("y", "yes", "row_f1")
    assert "F1 per row" in best.sentence
