"""A tiny random model on disk, small data files, and the command line called in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from affinage.cli.main import main
from tests.cli.calling import Call, Result, write_lines

LABELS = {"cheese": ("rind", "milk", "curd", "whey"), "bread": ("crumb", "flour", "oven", "yeast")}


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Encodings are cached for these tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AFFINAGE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run one command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Result:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random decoder of two small blocks with a byte-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("base")
    pieces = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    inner = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    named = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=256, **named).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(pieces), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tickets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty labelled texts that a linear head can tell apart."""
    rows = [
        {"text": f"{word} {word} number {number}", "label": label}
        for label, words in LABELS.items()
        for number in range(5)
        for word in words
    ]
    return write_lines(tmp_path_factory.mktemp("data") / "tickets.jsonl", rows)


@pytest.fixture(scope="session")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty prompts with responses."""
    rows = [{"prompt": f"Say {number}", "response": f"It is {number}."} for number in range(30)]
    return write_lines(tmp_path_factory.mktemp("data") / "questions.jsonl", rows)


@pytest.fixture(scope="session")
def classifier(base: Path, tickets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished `classify` run."""
    return _tuned(tmp_path_factory.mktemp("runs") / "classify", tickets, base, "epochs=4")


@pytest.fixture(scope="session")
def writer(base: Path, questions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished `sft` run."""
    return _tuned(tmp_path_factory.mktemp("runs") / "sft", questions, base, "steps=3", "train=lora", "samples=2")


def _tuned(out: Path, data: Path, base: Path, *settings: str) -> Path:
    sets = [word for setting in (*settings, "folds=1", "threads=1") for word in ("--set", setting)]
    assert main(["tune", str(data), "--model", str(base), "--out", str(out), *sets]) == 0
    return out
