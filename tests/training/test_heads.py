"""A head fitted by the one loop is as good as the field's own solver on the same encodings."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from affinage.models.adapted import AdaptedModel
from affinage.models.heads import CLASSIFIER, ClassifierHead, head_defaults
from affinage.objectives.classify import ClassifyObjective
from affinage.recipe import HeadSettings
from affinage.training.heads import HeadFit, fit_head
from tests.models.networks import llama


def clouds(rows: int, seed: int, spread: float = 1.0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Three overlapping classes in 64 dimensions of very different scales."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 3, rows)
    centres = np.random.default_rng(99).normal(size=(3, 64)) * 0.25
    vectors = (centres[targets] + spread * rng.normal(size=(rows, 64))) * np.logspace(-3, 3, 64) + 10
    return vectors.astype(np.float32), targets


def fitted(settings: HeadSettings, seed: int = 0, **changes: float) -> tuple[AdaptedModel, HeadFit]:
    vectors, targets = clouds(600, 1)
    torch.manual_seed(seed)
    head = ClassifierHead(["a", "b", "c"], 64, settings)
    head.standardise(torch.from_numpy(vectors))
    model = AdaptedModel(llama().requires_grad_(False), causal=True, heads={CLASSIFIER: head})
    defaults = head_defaults(600, 3, 64) | changes
    return model, fit_head(model, ClassifyObjective(), vectors, targets, clouds(200, 2), defaults, seed=seed)


def accuracy(model: AdaptedModel) -> float:
    vectors, targets = clouds(4000, 3)
    head = model.heads[CLASSIFIER].eval()
    assert isinstance(head, ClassifierHead)
    return float((head(torch.from_numpy(vectors)).argmax(dim=1).numpy() == targets).mean())


def test_the_defaults_match_a_tuned_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    peers = [
        make_pipeline(StandardScaler(), LogisticRegression(C=strength)).fit(*clouds(600, 1)).score(*clouds(4000, 3))
        for strength in (0.001, 0.01, 0.1, 1.0)
    ]  # the best on the very rows it is scored on: no tuning can do better
    model, _ = fitted(HeadSettings())
    assert accuracy(model) >= max(peers) - 0.01


def test_the_best_step_on_validation_rows_is_kept() -> None:
    model, fit = fitted(HeadSettings(depth=2, width=64), learning_rate=0.02, patience=0)
    assert 0 < fit.best_step < fit.steps
    vectors, targets = clouds(200, 2)
    head = model.heads[CLASSIFIER].eval()
    loss = torch.nn.functional.cross_entropy(head(torch.from_numpy(vectors)), torch.from_numpy(targets))
    assert abs(float(loss.detach()) - fit.validation_loss) < 1e-5


def test_patience_stops_what_no_longer_helps() -> None:
    _, patient = fitted(HeadSettings(depth=2, width=64), learning_rate=0.02, patience=0)
    _, stopped = fitted(HeadSettings(depth=2, width=64), learning_rate=0.02, patience=2)
    assert stopped.steps < patient.steps
    assert stopped.best_step <= patient.best_step


def test_the_same_seed_gives_the_same_head() -> None:
    heads = [fitted(HeadSettings())[0].heads.state_dict() for _ in range(2)]
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])


def test_numbers_are_fitted_as_well_as_by_ridge_regression() -> None:
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    weights = np.random.default_rng(5).normal(size=64)

    def sides(rows: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        rng = np.random.default_rng(seed)
        plain = rng.normal(size=(rows, 64))
        numbers = 1900 + 12 * (plain @ weights / 8 + rng.normal(size=rows))
        return (plain * np.logspace(-3, 3, 64) + 10).astype(np.float32), numbers

    vectors, numbers = sides(600, 1)
    held_out, true = sides(2000, 3)
    peer = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13))).fit(vectors, numbers).predict(held_out)
    head = ClassifierHead([], 64, HeadSettings(task="number"))
    head.start(torch.from_numpy(numbers))
    head.standardise(torch.from_numpy(vectors))
    model = AdaptedModel(llama().requires_grad_(False), causal=True, heads={CLASSIFIER: head})
    fit_head(model, ClassifyObjective(), vectors, numbers, sides(200, 2), head_defaults(600, 1, 64), seed=0)
    said = head.answers(head.eval()(torch.from_numpy(held_out)))[:, 0].numpy()
    ours, theirs = (float(np.sqrt(np.square(one - true).mean())) for one in (said, peer))
    assert ours <= 1.03 * theirs


def test_several_labels_are_fitted_as_well_as_by_one_against_the_rest() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import StandardScaler

    weights = np.random.default_rng(5).normal(size=(64, 4)) / 4

    def sides(rows: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rng = np.random.default_rng(seed)
        plain = rng.normal(size=(rows, 64))
        odds = plain @ weights - np.array([0.0, 1.0, 2.0, 3.0])
        said = rng.random(odds.shape) < 1 / (1 + np.exp(-odds))
        return (plain * np.logspace(-3, 3, 64) + 10).astype(np.float32), said.astype(np.float32)

    vectors, labels = sides(600, 1)
    held_out, true = sides(2000, 3)
    scale = StandardScaler().fit(vectors)
    peers = [
        OneVsRestClassifier(LogisticRegression(C=strength))
        .fit(scale.transform(vectors), labels)
        .predict_proba(scale.transform(held_out))
        for strength in (0.01, 0.1, 1.0)
    ]  # the best on the very rows it is scored on: no tuning can do better
    best = max(average_precision_score(true, peer) for peer in peers)
    head = ClassifierHead(["a", "b", "c", "d"], 64, HeadSettings(task="multi"))
    head.start(torch.from_numpy(labels))
    head.standardise(torch.from_numpy(vectors))
    model = AdaptedModel(llama().requires_grad_(False), causal=True, heads={CLASSIFIER: head})
    fit_head(model, ClassifyObjective(), vectors, labels, sides(200, 2), head_defaults(600, 4, 64), seed=0)
    found = head.answers(head.eval()(torch.from_numpy(held_out))).numpy()
    assert average_precision_score(true, found) >= best - 0.02
