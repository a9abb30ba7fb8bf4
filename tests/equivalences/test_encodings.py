"""Equivalence: cached encodings = the frozen model run end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from affinage.data.batches import Row, collate
from affinage.models.adapted import AdaptedModel
from affinage.models.encodings import encode_rows, encoded_batch
from affinage.models.heads import CLASSIFIER, ClassifierHead
from affinage.objectives.classify import ClassifyObjective
from affinage.recipe import HeadSettings, make_recipe
from affinage.runs import Run
from affinage.store.arrays import ArrayCache
from affinage.tuning.run import tune
from affinage.use import load
from tests.models.networks import bert, llama
from tests.small import rows_for, save_decoder, save_encoder, write_rows
from tests.training.test_loop import rows

CASES = [("mean", None), ("last", None), ("first", 1), ("max", 1), ("mean", 0)]


@pytest.mark.parametrize(("pooling", "layer"), CASES)
@pytest.mark.parametrize("causal", [True, False])
def test_loss_and_gradient_of_a_head_are_the_same_on_cached_encodings(
    causal: bool, pooling: str, layer: int | None, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    head = ClassifierHead(["a", "b", "c"], 64, HeadSettings(depth=2, width=16), pooling=pooling, layer=layer)
    model = AdaptedModel(llama() if causal else bert(), causal=causal, heads={CLASSIFIER: head})
    texts = [Row(row.tokens_T, row.weights_T, str(n), target=float(n % 3)) for n, row in enumerate(rows(7))]
    objective = ClassifyObjective(pooling, layer)
    for _ in range(2):  # computed, then read from the cache
        found = encode_rows(model, texts, pooling=pooling, layer=layer, budget=40, pad_id=0, cache=ArrayCache(tmp_path))
    assert found.passes_done == 0
    targets = torch.tensor([row.target for row in texts])
    cached = _loss_and_gradients(objective, model, encoded_batch(torch.from_numpy(found.vectors), targets))
    whole = _loss_and_gradients(objective, model, collate(texts, 0))
    torch.testing.assert_close(cached[0], whole[0], rtol=1e-6, atol=1e-6)
    for ours, theirs in zip(cached[1], whole[1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def _loss_and_gradients(objective: ClassifyObjective, model: AdaptedModel, batch: Any) -> tuple[Tensor, list[Tensor]]:
    loss = objective(model, batch).terms[0].total
    return loss.detach(), list(torch.autograd.grad(loss, list(model.heads.parameters())))


@pytest.mark.parametrize("save", [save_decoder, save_encoder])
def test_a_run_on_cached_encodings_gives_the_classifier_that_runs_end_to_end(
    save: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFFINAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("affinage.reports.html.write_report", lambda folder: None)
    monkeypatch.setattr("affinage.tuning.probes.learning_curve", lambda *rest, **named: [])
    base = save(tmp_path / "base")
    data = write_rows(tmp_path / "rows.jsonl", rows_for("classify"))
    first, again = (_tuned(base, data, tmp_path / name) for name in ("first", "again"))
    assert first.read("passes.json")["done"] == 16
    assert again.read("passes.json")["done"] == 0  # all of them from the cache
    heads = [load_file(run.model_folder / "heads.safetensors") for run in (first, again)]
    assert all(torch.equal(tensor, heads[1][name]) for name, tensor in heads[0].items())
    adapted = load(first.folder)
    for row in rows_for("classify")[:6]:
        tokens = adapted.renderer.tokenizer(row["text"])["input_ids"]
        if adapted.model.causal:
            tokens = [adapted.renderer.tokenizer.bos_token_id, *tokens]
        with torch.no_grad():
            states = adapted.model.network(torch.tensor([tokens]), output_hidden_states=True).hidden_states[-1]
            wanted = torch.softmax(
                adapted.model.heads[CLASSIFIER](states.mean(1)) / heads[0]["classifier.temperature"], -1
            )
        found = list(adapted.classify(row["text"])[0]["probabilities"].values())
        torch.testing.assert_close(torch.tensor(found), wanted[0], rtol=1e-5, atol=1e-6)


def _tuned(base: Path, data: Path, out: Path) -> Run:
    settings = {"model": str(base), "data": str(data), "train": "head", "out": str(out), "epochs": 20}
    return tune(make_recipe(settings | {"folds": 1, "held_out": 4, "validation": 4, "threads": 1}))
