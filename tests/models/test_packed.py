"""The packed pass against the network's own modules: values, gradients, and what it leaves to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from affinage import products
from affinage.data.batches import Batch, Row, collate
from affinage.models.adapted import AdaptedModel
from affinage.models.packed.layout import Layout, Run
from affinage.objectives.language import LanguageObjective

SHAPE: dict[str, Any] = {
    "vocab_size": 97, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 6,
    "max_position_embeddings": 64,
}  # fmt: skip
LENGTHS = (7, 7, 7, 3, 12, 1, 33, 33)


@pytest.fixture(autouse=True, params=["torch", "onednn"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(products, "_SMALL", 0)
    before = products.in_use()
    products.use(request.param)
    yield
    products.use(before)


def network(name: str = "llama") -> Any:
    torch.manual_seed(3)
    made = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
        "shared heads": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, num_key_value_heads=2)),
        "one key": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, num_key_value_heads=1, tie_word_embeddings=True)),
        "biases": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE, num_key_value_heads=3)),
        "window": lambda: MistralForCausalLM(MistralConfig(**SHAPE, num_key_value_heads=2, sliding_window=40)),
        "wide heads": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, head_dim=16, attention_bias=True, mlp_bias=True)),
        "stretched": lambda: LlamaForCausalLM(
            LlamaConfig(**SHAPE, rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4})
        ),
    }[name]()
    with torch.no_grad():
        for tensor in made.parameters():  # also those that begin as ones or zeros
            tensor.add_(torch.randn_like(tensor) * 0.05)
    return made


def batch(lengths: tuple[int, ...] = LENGTHS, learned: float = 0.5, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    rows = []
    for length in lengths:
        weights = (rng.random(length) < learned).astype(np.float32) * rng.random(length).astype(np.float32)
        weights[0] = 0
        rows.append(Row(rng.integers(0, 97, length).astype(np.int32), weights))
    return collate(rows, 0)


def both(model: AdaptedModel, of: Batch) -> list[tuple[Tensor, dict[str, Tensor]]]:
    """Loss and gradients of the packed pass, and of the network's own."""
    found = []
    model.train()
    for pack in (True, False):
        model.pack = pack
        model.zero_grad()
        loss = LanguageObjective()(model, of).terms[0].total
        loss.backward()  # type: ignore[no-untyped-call]
        grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        found.append((loss.detach(), grads))
    model.pack = True
    return found


def assert_same(model: AdaptedModel, of: Batch) -> None:
    assert model.passes[0] == "packed"
    (packed, ours), (plain, theirs) = both(model, of)
    torch.testing.assert_close(packed, plain, rtol=1e-6, atol=1e-6)
    assert ours.keys() == theirs.keys()
    for name, grad in theirs.items():
        torch.testing.assert_close(ours[name], grad, rtol=1e-5, atol=1e-5 * max(1.0, float(grad.abs().max())), msg=name)


@pytest.mark.parametrize("name", ["llama", "shared heads", "one key", "biases", "window", "wide heads", "stretched"])
@pytest.mark.parametrize("learned", [0.2, 1.0])
def test_loss_and_every_gradient_equal_the_modules(name: str, learned: float) -> None:
    assert_same(AdaptedModel(network(name), causal=True), batch(learned=learned))


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "down_proj"]])
@pytest.mark.parametrize("name", ["llama", "biases"])
def test_plain_lora_is_folded_in(name: str, targets: Any) -> None:
    wrapped = get_peft_model(network(name), LoraConfig(r=3, lora_alpha=7, target_modules=targets, use_rslora=True))
    with torch.no_grad():
        for key, tensor in wrapped.named_parameters():
            if "lora_B" in key:
                tensor.normal_(std=0.2)
    model = AdaptedModel(wrapped, causal=True)
    assert_same(model, batch())
    (_, grads), _ = both(model, batch())
    assert all("lora_" in key for key in grads)
    with wrapped.disable_adapter(), torch.no_grad():
        off = model.weighted_nll(batch())
        model.pack = False
        torch.testing.assert_close(off, model.weighted_nll(batch()), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("trained", [r"layers\.2\.", r"layers\.1\.self_attn\.o_proj", r"model\.norm", r"embed_tokens"])
def test_gradients_reach_what_trains_and_nothing_else(trained: str) -> None:
    import re

    model = AdaptedModel(network(), causal=True)
    for name, tensor in model.named_parameters():
        tensor.requires_grad_(bool(re.search(trained, name)))
    assert_same(model, batch())


def test_hidden_states_of_every_layer_are_the_modules() -> None:
    model, of = AdaptedModel(network("shared heads"), causal=True).eval(), batch()
    with torch.no_grad():
        ours = model.hidden_layers(of, [0, 1, 3, None, -1])
        model.pack = False
        theirs = model.hidden_layers(of, [0, 1, 3, None, -1])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one[of.mask_BT], other[of.mask_BT], rtol=1e-5, atol=1e-5)


def shared(seed: int = 0) -> Batch:
    """Two prompts, the first with three continuations (one of which goes on again), the second with two."""
    of = batch((9, 4, 1, 6, 3, 5, 2), seed=seed)
    of.continues_B = torch.tensor([-1, 0, 0, 0, 3, -1, 5])
    of.weights_BT[:, 0] = torch.tensor([0.0, 1.0, 0.5, 1.0, 1.0, 0.0, 1.0])  # first tokens are predicted by the prompt
    of.weights_BT[[0, 5]] = 0
    return of


@pytest.mark.parametrize("name", ["llama", "shared heads", "biases"])
def test_a_shared_prompt_is_read_once_and_changes_nothing(name: str) -> None:
    assert_same(AdaptedModel(network(name), causal=True), shared())


def test_hidden_states_of_shared_rows_stand_at_their_own_places() -> None:
    model, of = AdaptedModel(network(), causal=True).eval(), shared()
    with torch.no_grad():
        ours = model.hidden(of)
        model.pack = False
        theirs = model.hidden(of)
    torch.testing.assert_close(ours[of.mask_BT], theirs[of.mask_BT], rtol=1e-5, atol=1e-5)


def test_unshared_rows_begin_with_what_they_continue() -> None:
    of = shared()
    whole, moved = of.unshared()
    assert moved.tolist() == [0, 9, 9, 9, 15, 0, 5]
    assert whole.mask_BT.sum(1).tolist() == [9, 13, 10, 15, 18, 5, 7]
    assert whole.tokens_BT[4, :9].tolist() == of.tokens_BT[0, :9].tolist()
    assert whole.tokens_BT[4, 9:15].tolist() == of.tokens_BT[3, :6].tolist()
    assert float(whole.weights_BT.sum()) == pytest.approx(float(of.weights_BT.sum()))


def test_rows_of_equal_length_are_one_run() -> None:
    layout = Layout.of(batch((3, 5, 5, 2)))
    assert layout.runs == (Run(0, 3), Run(3, 5, 2), Run(13, 2))
    assert layout.positions_N.tolist() == [0, 1, 2, *range(5), *range(5), 0, 1]
    assert layout.longest == 5


def test_a_row_cannot_continue_a_later_one() -> None:
    of = batch((3, 3))
    of.continues_B = torch.tensor([1, -1])
    with pytest.raises(ValueError, match="does not stand before it"):
        Layout.of(of)


def test_a_text_beyond_the_window_goes_through_the_modules() -> None:
    model, of = AdaptedModel(network("window"), causal=True), batch((50, 7))
    assert model.passes[0] == "packed"
    (packed, ours), (plain, theirs) = both(model, of)
    assert torch.equal(packed, plain)  # the same path both times
    assert all(torch.equal(ours[name], grad) for name, grad in theirs.items())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda net: net.model.layers[0].register_forward_hook(lambda *_: None), "listens"),
        (lambda net: setattr(net.config, "hidden_act", "gelu"), "activation"),
        (lambda net: net.to(torch.float64), "float32"),
        (lambda net: setattr(net.config, "rope_parameters", {"rope_type": "dynamic"}), "depends on the batch"),
        (lambda net: setattr(net.config, "attention_dropout", 0.1), "at random"),
    ],
)
def test_what_it_does_not_cover_is_named(change: Any, why: str) -> None:
    made = network().train()
    change(made)
    how, reason = AdaptedModel(made, causal=True).passes
    assert how == "padded"
    assert why in reason


def test_the_librarys_own_listeners_do_not_count() -> None:
    made = network()
    made(input_ids=torch.ones(1, 3, dtype=torch.long), output_hidden_states=True)
    assert any(layer._forward_hooks for layer in made.model.layers)
    assert AdaptedModel(made, causal=True).passes[0] == "packed"


@pytest.mark.parametrize("settings", [{"use_dora": True}, {"lora_dropout": 0.2}, {"lora_bias": True}])
def test_other_adapters_go_through_the_modules(settings: dict[str, Any]) -> None:
    wrapped = get_peft_model(network(), LoraConfig(r=2, target_modules=["q_proj"], **settings)).train()
    assert AdaptedModel(wrapped, causal=True).passes[0] == "padded"


def test_an_adapter_that_drops_inputs_is_packed_where_nothing_is_dropped() -> None:
    wrapped = get_peft_model(network(), LoraConfig(r=2, target_modules=["q_proj"], lora_dropout=0.2)).eval()
    assert AdaptedModel(wrapped, causal=True).passes[0] == "packed"
