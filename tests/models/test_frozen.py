"""The frozen bottom of a model, run once for each text, equals the model run end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from affinage.models.adapted import AdaptedModel
from affinage.models.packed.stack import Stack
from affinage.objectives.language import LanguageObjective
from affinage.store.arrays import ArrayCache
from tests.models.test_packed import batch, network, shared


def top(layers: list[int]) -> AdaptedModel:
    """Only these blocks train."""
    model = AdaptedModel(network("shared heads"), causal=True)
    for name, tensor in model.named_parameters():
        tensor.requires_grad_(any(f"layers.{layer}." in name for layer in layers))
    return model.train()


def narrow() -> AdaptedModel:
    settings = LoraConfig(r=2, target_modules=["q_proj", "up_proj"], layers_to_transform=[1, 2])
    return AdaptedModel(get_peft_model(network(), settings), causal=True).train()


def learned(model: AdaptedModel, of: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    total = LanguageObjective()(model, of).terms[0].total
    total.backward()  # type: ignore[no-untyped-call]
    return total.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("make", [lambda: top([2]), lambda: top([1, 2]), narrow])
@pytest.mark.parametrize("of", [batch(), shared()])
def test_value_and_gradient_are_those_without(make: Any, of: Any, tmp_path: Path) -> None:
    model = make()
    loss, grads = learned(model, of)
    bottom = model.freeze_bottom(ArrayCache(tmp_path))
    for _ in range(3):  # computed, found, found on disk
        again, found = learned(model, of)
        torch.testing.assert_close(again, loss, rtol=1e-6, atol=1e-6)
        assert found.keys() == grads.keys()
        for name, grad in grads.items():
            torch.testing.assert_close(found[name], grad, rtol=1e-5, atol=1e-6, msg=name)
        bottom.flush()
    distinct = len({tuple(row[mask].tolist()) for row, mask in zip(of.tokens_BT, of.mask_BT, strict=True)})
    assert bottom.passes_avoided >= 2 * distinct


def test_the_frozen_blocks_are_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = top([2]), 0
    states = Stack.states

    def counted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        return states(*arguments)

    monkeypatch.setattr(Stack, "states", counted)
    bottom = model.freeze_bottom(ArrayCache(tmp_path))
    for _ in range(4):
        learned(model, batch())
    assert calls == 1
    assert bottom is not None
    bottom.flush()
    second = top([2])  # another run
    second.freeze_bottom(ArrayCache(tmp_path))
    learned(second, batch())
    assert calls == 1
    other = top([2])
    with torch.no_grad():
        other.network.model.layers[0].mlp.up_proj.weight[0, 0] += 1
    other.freeze_bottom(ArrayCache(tmp_path))
    learned(other, batch())
    assert calls == 2  # other weights below: nothing of it fits
    unlike = top([1, 2])
    unlike.freeze_bottom(ArrayCache(tmp_path))
    learned(unlike, batch())
    assert calls == 3  # another depth


def test_a_damaged_file_is_computed_again_and_counted(tmp_path: Path) -> None:
    first = top([2])
    loss, _ = learned(first, batch())
    bottom = first.freeze_bottom(ArrayCache(tmp_path))
    learned(first, batch())
    assert bottom is not None
    bottom.flush()
    (file,) = tmp_path.rglob("*.arr")
    content = bytearray(file.read_bytes())
    content[-5] ^= 255
    file.write_bytes(content)
    cache = ArrayCache(tmp_path)
    second = top([2])
    bottom = second.freeze_bottom(cache)
    again, _ = learned(second, batch())
    assert cache.counts.broken == 1
    assert bottom is not None
    assert bottom.passes_avoided == 0
    assert torch.equal(again, loss)


@pytest.mark.parametrize("layers", [[0], [0, 2], []])
def test_nothing_is_frozen_below_the_lowest_block(layers: list[int]) -> None:
    assert top(layers).freeze_bottom(None) is None


def test_without_a_disk_it_is_held_in_memory() -> None:
    model = top([2])
    loss, _ = learned(model, batch())
    bottom = model.freeze_bottom(None)
    learned(model, batch())
    assert torch.equal(learned(model, batch())[0], loss)
    assert bottom is not None
    bottom.flush()
    assert bottom.passes_avoided > 0
