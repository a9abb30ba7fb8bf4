"""Equivalence: merged = adapter attached, on logits, through the files that a run and `merge` leave."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from affinage.device import Machine
from affinage.errors import GateError
from affinage.models.adapted import AdaptedModel
from affinage.models.merging import merge_run
from affinage.models.saving import load_heads, load_run
from affinage.recipe import make_recipe
from affinage.tuning.prepare import prepare
from affinage.tuning.run import tune
from tests.small import rows_for, save_decoder, write_rows

MACHINE = Machine("cpu", "float32", 1, 2**30)
QUICK = {"steps": 6, "folds": 1, "held_out": 2, "validation": 0, "learning_rate": 0.02, "samples": 0, "threads": 1}


@pytest.mark.parametrize(
    ("objective", "train"), [("sft", "lora"), ("sft", "dora"), ("pretrain", "ia3"), ("classify", "lora")]
)
def test_the_merged_model_is_the_attached_one(
    objective: str, train: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("affinage.reports.html.write_report", lambda folder: None)
    monkeypatch.setattr("affinage.tuning.language.LanguageWork.general", lambda self, model: None)
    monkeypatch.setattr("affinage.tuning.classification.ClassificationWork.general", lambda self, model: None)
    base = save_decoder(tmp_path / "base")
    data = write_rows(tmp_path / "rows.jsonl", rows_for(objective))
    recipe = make_recipe({"model": str(base), "data": str(data), "train": train, "out": str(tmp_path / "run"), **QUICK})
    rows = prepare(recipe).rows_on("train")
    run = tune(recipe)
    report = merge_run(run.folder, tmp_path / "merged", MACHINE)
    attached = load_run(run.folder, MACHINE)
    plain = AutoModelForCausalLM.from_pretrained(base).eval()
    merged = AdaptedModel(AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval(), causal=True)
    load_heads(merged, tmp_path / "merged")
    assert merged.heads.keys() == attached.heads.keys()
    for row in rows:
        tokens = torch.from_numpy(row.tokens_T.astype("int64"))[None]
        with torch.no_grad():
            ours, theirs = (model.network(tokens).logits for model in (attached, merged))
            assert (ours - plain(tokens).logits).abs().max() > 1e-2  # the adapter does something
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
        assert torch.equal(ours.argmax(-1), theirs.argmax(-1))
    for name, tensor in attached.heads.state_dict().items():
        assert torch.equal(tensor, merged.heads.state_dict()[name])
    assert f"{report.difference:.2e}" in (tmp_path / "merged" / "README.md").read_text()
    with pytest.raises(GateError, match="nothing was written"):
        merge_run(run.folder, tmp_path / "strict", MACHINE, tolerance=0.0)
    assert not (tmp_path / "strict").exists()
