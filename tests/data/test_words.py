"""The memo of words gives exactly the tokenizer's own ids, or is not used."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import affinage.models
from affinage.data.rendering import words
from affinage.data.rendering.encoding import Encoder
from tests.data.small_tokenizer import BOS, TEXT, small_tokenizer

BUNDLED = Path(affinage.models.__file__).parent / "tiny"
CORPUS = [*TEXT, "It's 1234 o'clock.\n\nYou're on.\n  - item\n\t* two;\r\n\r\n« Où ça ? »\n\n\n"] * 3


@cache
def encoder(kind: str) -> Encoder:
    """One whose texts are cut, of each kind that is known."""
    if kind == "marked":
        return Encoder(AutoTokenizer.from_pretrained(BUNDLED), "")
    if kind == "gpt2":
        return Encoder(small_tokenizer(), "")
    pattern, composed = {"llama3": (words._LLAMA3, False), "qwen2": (words._QWEN2, True)}[kind]
    return Encoder(_split(pattern, composed=composed), "<|im_end|>")


def _split(pattern: str, *, composed: bool) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC() if composed else None
    steps = [
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    backend.pre_tokenizer = pre_tokenizers.Sequence(steps)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=600, show_progress=False, initial_alphabet=alphabet)
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")
    tokenizer.add_tokens(["<tool>"])
    return tokenizer


LETTERS = [
    "a",
    "cat",
    "The",
    "'s",
    "'RE",
    "12345",
    ".",
    ";",
    "...",
    "é",
    "e\u0301",
    "猫",
    "😀",
    "ǅ",
    "²",
    "_",
    "▁",
    "\ufdd0",
]
SPACES = [" ", "  ", "\n", "\n\n", "\n\n\n", "\t", "\r\n", "\r", "\x0b", "\x1c", "\x85", "\xa0", "\u2003", "\u2028"]
OTHERS = ["<|im_end|>", "<tool>", BOS, "-", "/", "\ufeff", "\u200b", "\x00", "\x01"]
PARTS = st.sampled_from([*LETTERS, *SPACES, *OTHERS])
TEXTS = st.lists(PARTS | st.text(st.characters(codec="utf-8"), max_size=4), max_size=24).map("".join)


@pytest.mark.parametrize("kind", ["marked", "gpt2", "llama3", "qwen2"])
@given(texts=st.lists(TEXTS, max_size=4))
@settings(max_examples=250, deadline=None)
def test_ids_are_the_tokenizers_own(kind: str, texts: list[str]) -> None:
    made = encoder(kind)
    assert made._words[False] is not None
    for bare in (False, True):
        assert made.encode(texts, bare=bare) == made._lists(texts, bare=bare)


@pytest.mark.parametrize("kind", ["marked", "gpt2", "llama3", "qwen2"])
def test_text_of_every_day_is_cut_into_words(kind: str) -> None:
    memo = encoder(kind)._words[True]
    assert memo is not None
    text = "The cat sat on the mat.\n\nHello, how are you?\nIt's 12 o'clock.\n"
    pieces = memo._cut(text)
    assert "".join(pieces) == text
    assert len(pieces) >= 12
    assert memo._cut(" a\x00b") == [" a\x00b"]


def _state(**changes: Any) -> dict[str, Any]:
    state = json.loads(small_tokenizer().backend_tokenizer.to_str())
    for key, value in changes.items():
        target = state["model"] if key in state["model"] else state
        target[key] = value
    return state  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "state",
    [
        _state(dropout=0.1),
        _state(end_of_word_suffix="</w>"),
        _state(type="Unigram"),
        _state(normalizer={"type": "Lowercase"}),
        _state(pre_tokenizer={"type": "Whitespace"}),
        _state(pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}),
        _state(
            pre_tokenizer={
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": r"\w+|\W+"}, "behavior": "Isolated", "invert": False},
                    {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
                ],
            }
        ),
        _state(pre_tokenizer=None),
    ],
)
def test_other_tokenizers_are_left_alone(state: dict[str, Any]) -> None:
    assert words.Words.of(state, lambda texts: [b""] * len(texts), ()) is None


def test_tokens_over_two_words_forbid_cuts() -> None:
    state = json.loads(AutoTokenizer.from_pretrained(BUNDLED).backend_tokenizer.to_str())
    assert words.Words.of(state, lambda texts: [b""] * len(texts), ()) is not None
    for token in ("of▁the", ".\nA"):
        state["model"]["vocab"][token] = 1
        assert words.Words.of(state, lambda texts: [b""] * len(texts), ()) is None
        del state["model"]["vocab"][token]


def test_the_memo_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_KEPT", 5)
    made = Encoder(small_tokenizer(), "")
    for text in ("The cat sat on the mat.", "Hello, how are you?", "The cat", "x" * 1000):
        assert made.encode([text]) == made._lists([text], bare=False)
    assert len(made._words[False]._known) < 12  # type: ignore[union-attr]


@pytest.mark.real
def test_real_text(shared: Path) -> None:
    import gzip

    with gzip.open(shared / "data" / "alpaca_en_sample" / "alpaca_en_sample.jsonl.gz") as file:
        lines = file.readlines()[:300]
    texts = [str(value) for line in lines for value in json.loads(line).values()]
    for folder in (shared / "models" / "gpt2-tokenizer", shared / "models" / "stories260K", BUNDLED):
        made = Encoder(AutoTokenizer.from_pretrained(folder), "")
        for bare in (False, True):
            assert made.encode(texts, bare=bare) == made._lists(texts, bare=bare)
