"""Small random models of several families, and a tokenizer whose tokens are single bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
)

from affinage.models.adapted import AdaptedModel

CONTEXT = 64
STOP = 256
CONFIGS = {
    # the standard deviation is large so that greedy answers differ from step to step
    "llama": LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        vocab_size=257,
        max_position_embeddings=CONTEXT,
        bos_token_id=None,
        eos_token_id=STOP,
    ),
    "gpt2": GPT2Config(
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=CONTEXT,
        initializer_range=0.3,
        vocab_size=257,
        bos_token_id=None,
        eos_token_id=STOP,
    ),
    "mistral": MistralConfig(  # attention reaches back 8 positions only
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        vocab_size=257,
        max_position_embeddings=CONTEXT,
        sliding_window=8,
        bos_token_id=None,
        eos_token_id=STOP,
    ),
    "bloom": BloomConfig(  # knows no position ids
        hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3, vocab_size=257, bos_token_id=None, eos_token_id=STOP
    ),
}


def make_network(family: str) -> Any:
    torch.manual_seed(5)
    return AutoModelForCausalLM.from_config(CONFIGS[family]).eval()


@pytest.fixture(params=list(CONFIGS))
def network(request: pytest.FixtureRequest) -> Any:
    return make_network(request.param)


@pytest.fixture
def networks() -> Callable[[str], Any]:
    return make_network


@pytest.fixture
def llama() -> AdaptedModel:
    return AdaptedModel(make_network("llama"), causal=True)


@pytest.fixture(scope="session")
def byte_tokenizer() -> PreTrainedTokenizerFast:
    """256 bytes and `</s>`."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    ordered = sorted(alphabet, key=lambda character: _byte(character))
    backend = Tokenizer(models.BPE({character: byte for byte, character in enumerate(ordered)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")


def _byte(character: str) -> int:
    """The byte that the byte-level alphabet writes as `character`: visible ones are themselves, others follow."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in visible]
    return ord(character) if ord(character) < 256 else others[ord(character) - 256]
