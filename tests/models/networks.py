"""Small random networks, on disk and in memory, for the tests of models/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from affinage.data.batches import Batch

VOCABULARY = 128
TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"


def llama(seed: int = 0, **changes: Any) -> LlamaForCausalLM:
    """A decoder of 2 blocks, width 64, 4 heads over 2 key-value heads."""
    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    limits = {"num_key_value_heads": 2, "vocab_size": VOCABULARY, "max_position_embeddings": 128}
    return LlamaForCausalLM(LlamaConfig(**(shape | limits | changes), bos_token_id=1, eos_token_id=2)).eval()


def bert(seed: int = 0) -> BertModel:
    """An encoder of 2 blocks, width 64."""
    torch.manual_seed(seed)
    shape = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = BertConfig(**shape, vocab_size=VOCABULARY, max_position_embeddings=128)
    config.architectures = ["BertModel"]
    return BertModel(config).eval()


def tokenizer() -> PreTrainedTokenizerFast:
    """One token per character."""
    pieces = ["<pad>", "<s>", "</s>", *map(chr, range(32, 127))]
    inner = Tokenizer(models.WordLevel({piece: number for number, piece in enumerate(pieces)}, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, chat_template=TEMPLATE, model_max_length=128, **special)


def save_base(folder: Path, network: Any) -> Path:
    """A model folder."""
    network.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def batch(rows: tuple[int, ...] = (9, 5), seed: int = 0) -> Batch:
    """Random rows of these lengths, right-padded, learned from their second token on."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(3, VOCABULARY, (len(rows), max(rows)), generator=generator)
    mask = torch.arange(max(rows))[None] < torch.tensor(rows)[:, None]
    weights = mask.float()
    weights[:, 0] = 0
    return Batch(tokens.where(mask, torch.zeros_like(tokens)), weights, mask)
