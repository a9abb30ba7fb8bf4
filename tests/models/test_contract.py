"""Every adapter method that is offered keeps the same promises on a small decoder; three of them on an encoder too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from affinage.data.batches import Batch
from affinage.device import Machine
from affinage.errors import GateError, InputError
from affinage.files import write_json, write_text
from affinage.models.adapted import AdaptedModel
from affinage.models.fingerprints import fingerprint
from affinage.models.loading import load_network, open_base
from affinage.models.merging import merge_run
from affinage.models.methods import ALIASES, METHODS, find_method
from affinage.models.saving import load_run, save_model
from affinage.models.trainables import check_trainable, count_trainable, mark
from affinage.recipe import Recipe, dump_recipe, make_recipe
from tests.models.networks import batch, bert, llama, save_base

MACHINE = Machine("cpu", "float32", 1, 2**30)
OPTIONS: dict[str, dict[str, Any]] = {"trainable_tokens": {"token_indices": [5, 9, 40]}}
# At the start these stand behind a factor that is zero, so their first gradient is zero too; it is not after one step.
ZERO_AT_FIRST = {
    "adamss": "adamss_A",
    "adaption_prompt": "adaption_prompt",
    "delora": "delora_",
    "dora": "lora_A",
    "glora": "glora_",
    "gralora": "gralora_A",
    "hira": "hira_A",
    "lily": "lily_(A|router)",
    "loha": "hada_w",
    "lokr": "lokr_w2",
    "lora": "lora_A",
    "peanut": "peanut_A",
    "pvera": "pvera_lambda_d",
    "randlora": "randlora_gamma",
    "rslora": "lora_A",
    "vera": "vera_lambda_d",
}
CAUSAL = sorted(METHODS)
ENCODER = ["lora", "ia3", "prefix", "prompt", "oft"]


def _recipe(method: str, **settings: Any) -> Recipe:
    return make_recipe({"train": method, "adapter": OPTIONS.get(method, {})} | settings)


def _loss(model: AdaptedModel, rows: Batch) -> torch.Tensor:
    if model.causal:
        return model.weighted_nll(rows)
    return (model.hidden(rows) * rows.mask_BT[..., None])[..., ::3].square().sum() * 0.1


def _outputs(model: AdaptedModel, rows: Batch) -> torch.Tensor:
    with torch.no_grad():
        hidden = model.hidden(rows)
        return model.output_head.logits(hidden)[rows.mask_BT] if model.causal else hidden[rows.mask_BT]


def _step(model: AdaptedModel, optimizer: torch.optim.Optimizer, rows: Batch) -> None:
    optimizer.zero_grad()
    _loss(model, rows).backward()
    optimizer.step()


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {"llama": save_base(folder / "llama", llama()), "bert": save_base(folder / "bert", bert())}


@pytest.mark.parametrize(("kind", "method"), [*(("llama", m) for m in CAUSAL), *(("bert", m) for m in ENCODER)])
def test_a_method_attaches_trains_saves_and_loads(
    kind: str, method: str, bases: dict[str, Path], tmp_path: Path
) -> None:
    base, recipe, rows = open_base(str(bases[kind])), _recipe(method), batch()
    check_trainable(recipe, method, base, base.skeleton(), has_head=False)
    torch.manual_seed(0)
    network = load_network(base, MACHINE)
    model = AdaptedModel(network, causal=base.causal)
    untouched = {id(tensor) for tensor in network.parameters()}
    mark(model, recipe, method)
    trained = dict(model.trainable_parameters())
    assert trained
    if method != "osf":  # the one that splits the base's own matrices
        assert not untouched & {id(tensor) for tensor in trained.values()}
    if method not in ("adamss", "frod", "shira"):  # estimated from one block
        assert count_trainable(recipe, method, base, base.skeleton()) == sum(p.numel() for p in trained.values())

    before = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    model.train()
    optimizer = torch.optim.AdamW(list(trained.values()), lr=1e-2, weight_decay=0.0)
    _loss(model, rows).backward()
    allowed = ZERO_AT_FIRST.get(method)
    for name, tensor in trained.items():
        assert tensor.grad is not None, name
        assert torch.isfinite(tensor.grad).all(), name
        assert tensor.grad.any() or (allowed and re.search(allowed, name)), name
    if allowed:
        assert any(not tensor.grad.any() for tensor in trained.values() if tensor.grad is not None)
    optimizer.step()
    for _ in range(2):
        _step(model, optimizer, rows)
    moved = {name for name, tensor in model.named_parameters() if not torch.equal(tensor, before[name])}
    assert moved == trained.keys()

    model.eval()
    plain = AdaptedModel(load_network(base, MACHINE), causal=base.causal)
    assert (_outputs(model, rows) - _outputs(plain, rows)).abs().max() > 1e-4
    if method != "pissa" and (
        base.causal or method not in ALIASES
    ):  # pissa moves the base; the library cannot for encoders
        with model.network.disable_adapter():
            torch.testing.assert_close(_outputs(model, rows), _outputs(plain, rows), rtol=0, atol=1e-5)
    save_model(model, base, tmp_path / "run" / "model", base.tokenizer)
    write_json(
        tmp_path / "run" / "fingerprint.json",
        fingerprint(base, tmp_path / "run" / "model", base.tokenizer, method=method),
    )
    write_text(tmp_path / "run" / "recipe.yaml", dump_recipe(recipe))
    again = load_run(tmp_path / "run", MACHINE)
    if method == "pissa":  # saved as a plain adapter of the untouched base: the same sums, in another order
        torch.testing.assert_close(_outputs(again, rows), _outputs(model, rows), rtol=0, atol=1e-5)
    else:
        assert torch.equal(_outputs(again, rows), _outputs(model, rows))
    _merges_or_refuses(tmp_path / "run", tmp_path / "merged", method)


def _merges_or_refuses(run: Path, out: Path, method: str) -> None:
    if find_method(method).merges:
        with pytest.raises(InputError, match="cannot be merged"):
            merge_run(run, out, MACHINE)
        assert not out.exists()
        return
    if method == "beft":  # it trains biases, and this network has none to merge them into
        with pytest.raises(GateError, match="no bias"):
            merge_run(run, out, MACHINE)
        assert not out.exists()
        return
    report = merge_run(run, out, MACHINE)
    assert report.merged
    assert report.difference <= 1e-4
    assert (out / "model.safetensors").exists()
