"""Small random models on disk and a dozen rows of every kind, for suites that go through whole runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CONTEXT = 256
_SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.1,  # large enough for a few steps to show
}
_THINGS = (
    "rind",
    "milk",
    "curd",
    "whey",
    "salt",
    "moss",
    "oven",
    "loaf",
    "seed",
    "malt",
    "rice",
    "corn",
    "leek",
    "kale",
)


_NAMES: tuple[list[str], ...] = (["odd"], ["even", "odd"], ["even"], ["even"])


def save_decoder(folder: Path, **changes: Any) -> Path:
    """A model folder: a causal network of 2 blocks over bytes, without a chat template."""
    tokens = _bytes()
    torch.manual_seed(0)
    limits = {"num_key_value_heads": 1, "vocab_size": len(tokens), "max_position_embeddings": CONTEXT}
    LlamaForCausalLM(LlamaConfig(**(_SHAPE | limits | changes), bos_token_id=1, eos_token_id=2)).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def save_encoder(folder: Path, dropout: float = 0.0) -> Path:
    """A model folder: a bidirectional network of 2 blocks over bytes, [CLS] before and [SEP] after a text."""
    tokens = _bytes()
    ends = [("<s>", 1), ("</s>", 2)]
    tokens.backend_tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", None, ends)
    tokens.add_special_tokens({"cls_token": "<s>", "sep_token": "</s>"})
    torch.manual_seed(0)
    drops = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    config = BertConfig(**_SHAPE, **drops, vocab_size=len(tokens), max_position_embeddings=CONTEXT)
    config.architectures = ["BertModel"]
    BertModel(config).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def rows_for(objective: str) -> list[dict[str, Any]]:
    """Sixteen different rows of about one length, one of them twice, and one that is empty.

    `multi` and `number` are labelled rows like `classify`'s, with several labels or a number each.
    """
    some = [f"{_THINGS[n % 14]} {_THINGS[(3 * n + 1) % 14]} {n}{'!' * (n % 4)}" for n in range(16)]
    objective = "dpo" if objective == "reward" else objective
    made = {
        "pretrain": [{"text": f"We saw the {text}."} for text in some],
        "sft": [{"prompt": f"Tell {n}", "response": f"So {text}."} for n, text in enumerate(some)],
        "classify": [{"text": f"Here we saw {text}", "label": ("odd", "even")[n % 2]} for n, text in enumerate(some)],
        "multi": [{"text": f"Here we saw {text}", "labels": _NAMES[n % 4]} for n, text in enumerate(some)],
        "dpo": [
            {"prompt": f"Tell {n}", "chosen": f"So {text}.", "rejected": f"No {text}?"} for n, text in enumerate(some)
        ],
        "number": [{"text": f"Here we saw {text}", "label": 3.5 + n} for n, text in enumerate(some)],
    }[objective]
    answer = {key: value for key, value in made[0].items() if key in ("label", "labels")}
    return [*made, made[3], dict.fromkeys(made[0], "") | answer]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """`rows` as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _bytes() -> PreTrainedTokenizerFast:
    """One token per byte."""
    pieces = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    inner = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    named = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=CONTEXT, **named)
