"""Decoding by the packed pass against the network's own modules: logits of every step, whatever rows do meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
from affinage.models.packed import buffers, decode
from affinage.models.packed.decode import DecodedRows, Decoder
from affinage.models.packed.fixed import Fixed
from affinage.models.packed.stack import Stack
from affinage.models.packed.weights import CannotPackError

SHAPE: dict[str, Any] = {
    "vocab_size": 97, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 6,
    "max_position_embeddings": 256,
}  # fmt: skip
PROMPTS = [[(7 * row + 3 * place) % 97 for place in range(length)] for row, length in enumerate((5, 9, 1, 9, 30))]


@pytest.fixture(autouse=True, params=["torch", "onednn"])
def library(request: pytest.FixtureRequest) -> Iterator[None]:
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
            LlamaConfig(**SHAPE, rope_parameters={"rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4})
        ),
    }[name]()
    with torch.no_grad():
        for tensor in made.parameters():  # also those that begin as ones or zeros
            tensor.add_(torch.randn_like(tensor) * 0.05)
    return made.eval()


def decoder(made: Any, longest: int = 80) -> Decoder:
    plain = made.get_base_model() if hasattr(made, "get_base_model") else made
    return Decoder(Stack.of(plain), plain, longest)


@torch.no_grad()
def whole(made: Any, texts: list[list[int]]) -> Tensor:
    """Logits after each text, by the network's own modules, each text alone."""
    return torch.stack([made(input_ids=torch.tensor([text])).logits[0, -1] for text in texts])


def check(made: Any, steps: int, changes: dict[int, list[int]]) -> None:
    """Greedy for so many steps; `changes`: which rows are selected before a step."""
    rows, texts = DecodedRows(decoder(made), PROMPTS), [list(prompt) for prompt in PROMPTS]
    logits = rows.prefill()
    for step in range(steps):
        torch.testing.assert_close(logits, whole(made, texts), atol=1e-4, rtol=0)
        tokens = logits.argmax(-1)
        texts = [[*text, token] for text, token in zip(texts, tokens.tolist(), strict=True)]
        if step in changes:
            rows.select(changes[step])
            texts, tokens = [texts[row] for row in changes[step]], tokens[changes[step]]
        logits = rows.advance(tokens)


@pytest.mark.parametrize("name", ["llama", "shared heads", "one key", "biases", "wide heads", "stretched"])
def test_each_step_is_that_of_the_network(name: str) -> None:
    check(network(name), 6, {})


def test_texts_that_stay_within_the_window() -> None:
    made = network("window")
    rows = DecodedRows(decoder(made, longest=40), PROMPTS[:2])
    torch.testing.assert_close(rows.prefill(), whole(made, PROMPTS[:2]), atol=1e-4, rtol=0)
    with pytest.raises(CannotPackError, match="window of 40"):
        decoder(made, longest=41)


def test_rows_that_end_are_copied_or_change_places() -> None:
    changes = {1: [0, 4, 2, 3], 2: [0, 0, 3, 2, 1, 1], 4: [5, 1, 2], 5: [2, 1, 0], 6: [1]}
    check(network("shared heads"), 9, changes)
    check(network(), 5, {0: [2], 2: [0, 0, 0]})


def test_buffers_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "GROWTH", 2)
    check(network("shared heads"), 11, {3: [1, 4, 2], 6: [2, 1, 0, 0]})


def test_prompts_are_read_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "READ_TOKENS", 12)
    check(network("shared heads"), 3, {})


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "down_proj"], ["v_proj", "lm_head"]])
def test_an_adapter_is_part_of_the_weights(targets: Any) -> None:
    torch.manual_seed(1)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=16, target_modules=targets, init_lora_weights=False)
    base = network("shared heads")
    before = whole(base, PROMPTS)
    made = get_peft_model(base, config).eval()
    assert (whole(made, PROMPTS) - before).abs().max() > 0.1
    check(made, 4, {})
    with made.disable_adapter():
        check(made, 2, {})


def test_the_weights_are_left_as_they_were() -> None:
    made = network("biases")
    before = {name: tensor.clone() for name, tensor in made.named_parameters()}
    check(made, 2, {})
    for name, tensor in made.named_parameters():
        assert torch.equal(tensor, before[name])
        assert tensor.requires_grad


def test_too_little_memory_for_a_second_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "free_memory", lambda device: 1000)
    with pytest.raises(CannotPackError, match="memory"):
        decoder(network())


@pytest.mark.parametrize("rows", [1, 5, 16, 70])
def test_a_fixed_layer_is_a_linear_layer(rows: int) -> None:
    torch.manual_seed(0)
    layer, inputs = torch.nn.Linear(40, 70), torch.randn(rows, 40)
    with torch.no_grad():
        expected = layer(inputs)
        torch.testing.assert_close(Fixed.of(layer.weight, layer.bias)(inputs), expected, atol=1e-5, rtol=0)
        assert not Fixed.of(layer.weight, layer.bias)(inputs).requires_grad
        torch.testing.assert_close(Fixed.of(layer.weight)(inputs), expected - layer.bias, atol=1e-5, rtol=0)
