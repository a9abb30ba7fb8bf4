from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from affinage.data.batches import Row, collate
from affinage.evaluation.language import LanguageScores, score_language
from affinage.models.adapted import AdaptedModel

VOCABULARY = 50


@pytest.fixture(scope="module")
def model() -> AdaptedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
    )
    return AdaptedModel(LlamaForCausalLM(config), causal=True)


def make_rows(number: int = 9) -> list[Row]:
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(number):
        length = int(rng.integers(3, 30))
        weights = (rng.random(length) < 0.7).astype(np.float32)
        weights[0], weights[-1] = 0, 1
        rows.append(Row(rng.integers(1, VOCABULARY, length).astype(np.int32), weights, learned_bytes=4 * length))
    return rows


def test_scores_are_each_rows_own_in_order(model: AdaptedModel) -> None:
    rows, heard = make_rows(), []
    scores = score_language(model, rows, budget=60, pad_id=0, progress=lambda done, all_: heard.append((done, all_)))
    for number, row in enumerate(rows):
        alone = model.row_scores(collate([row], 0))
        assert scores.nll_R[number] == pytest.approx(float(alone.nll_B[0]), rel=1e-5)
        assert scores.tokens_R[number] == row.learned
        assert scores.hits_R[number] == float(alone.hits_B[0])
    assert heard[-1] == (9, 9)
    assert len(heard) > 1


@pytest.mark.parametrize("pack", [True, False])
def test_a_long_beginning_that_all_rows_share_changes_no_score(model: AdaptedModel, pack: bool) -> None:
    beginning = np.arange(70, dtype=np.int32) % VOCABULARY
    rows = [
        Row(np.concatenate([beginning, row.tokens_T]), np.concatenate([np.zeros(70, np.float32), row.weights_T]))
        for row in make_rows()
    ]
    read: list[int] = []
    row_scores = model.row_scores
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "pack", pack)
        patch.setattr(model, "row_scores", lambda batch: read.append(batch.tokens) or row_scores(batch))
        scores = score_language(model, rows, budget=300, pad_id=0)
    for number, row in enumerate(rows):
        alone = model.row_scores(collate([row], 0))
        assert scores.nll_R[number] == pytest.approx(float(alone.nll_B[0]), rel=1e-5)
        assert scores.tokens_R[number] == row.learned
    everything = sum(map(len, rows))
    assert sum(read) < everything - 4 * 70 if pack else sum(read) == everything


@pytest.mark.parametrize("training", [True, False])
def test_mode_is_restored(model: AdaptedModel, training: bool) -> None:
    model.train(training)
    score_language(model, make_rows(2), budget=100, pad_id=0)
    assert model.training is training


def test_rows_of_one_record_are_summed() -> None:
    rows = [Row(np.ones(2, np.int32), np.ones(2, np.float32), record_id=name) for name in "baaa"]
    each = np.arange(1.0, 5.0)
    scores = LanguageScores(each, 10 * each, 100 * each, 1000 * each)
    found = scores.by_record(rows)
    assert found.nll_R.tolist() == [1, 9]
    assert found.tokens_R.tolist() == [10, 90]
    assert found.bytes_R.tolist() == [100, 900]
    assert found.hits_R.tolist() == [1000, 9000]
    assert scores.summed([2, 0, 2, 2], 4).nll_R.tolist() == [2, 0, 8, 0]


def test_figures() -> None:
    ones = np.ones(10)
    scores = LanguageScores(math.log(8) * 3 * ones, 3 * ones, 6 * ones, 0 * ones)
    assert scores.loss.value == pytest.approx(math.log(8))
    assert scores.perplexity.value == pytest.approx(8)
    bits, accuracy = scores.bits_per_byte, scores.token_accuracy
    assert bits is not None
    assert bits.value == pytest.approx(1.5)
    assert accuracy is not None
    assert accuracy.value == 0
    assert 0 < accuracy.high < 0.35  # ten rows without a hit do not prove that there is none
    assert set(scores.metrics()) == {"loss", "perplexity", "bits_per_byte", "token_accuracy"}
