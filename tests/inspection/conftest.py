"""A small base whose tokenizer knows the words of the bundled examples."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Rows as a JSON-lines file; a string is a line as it stands."""

    def to_file(rows: list[dict[str, Any] | str], name: str = "data.jsonl") -> Path:
        path = tmp_path / name
        lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return to_file


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of bundled example data."""
    return Path(str(files("affinage"))) / "examples"


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Path:
    """A random decoder with a byte-level tokenizer of 1,200 pieces and a context of 512."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("base")
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    lines = (examples / "instructions.jsonl").read_text().splitlines()[:200]
    trainer = trainers.BpeTrainer(
        vocab_size=1200, special_tokens=["<pad>", "<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    inner.train_from_iterator((value for line in lines for value in json.loads(line).values()), trainer)
    named = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=512, **named).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=1200, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
