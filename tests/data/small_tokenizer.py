"""Small fast tokenizers for the rendering tests, with whatever control tokens a chat template writes."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Literal

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

TEXT = ["The cat sat on the mat. Hello, how are you?\n\n### User:\nassistant system thinking\n"] * 4
CONTROL = re.compile(
    r"<[|｜][^<>{}'\"\s]*?[|｜]>|</?s>|<(?:start|end)_of_\w+>|<image>|<\|?(?:turn|channel|tool_call|tool_response)\|?>"
)
BOS, EOS, PAD = "<bos!>", "<eos!>", "<pad!>"
Kind = Literal["bytes", "first", "always", "prepend"]


def small_tokenizer(
    template: str | None = None,
    *,
    kind: Kind = "bytes",
    bos: bool = True,
    eos: bool = True,
    adds_bos: bool = False,
    rstrip: bool = False,
    special: bool = True,
) -> PreTrainedTokenizerFast:
    """A BPE tokenizer; `kind` says how it treats spaces: byte-level, or with a leading space as SentencePiece does."""
    backend = Tokenizer.from_str(_trained(kind))
    named = {"pad_token": PAD} | ({"bos_token": BOS} if bos else {}) | ({"eos_token": EOS} if eos else {})
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False, **named)
    control = sorted(set(CONTROL.findall(template or "")))
    tokens = [AddedToken(token, special=special, normalized=False, rstrip=rstrip) for token in control]
    tokenizer.add_tokens(tokens, special_tokens=special)
    tokenizer.add_tokens([tag for tag in ("<think>", "</think>") if tag in (template or "")])
    if adds_bos:
        pair = (BOS, tokenizer.bos_token_id)
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(f"{BOS} $A", special_tokens=[pair])
    tokenizer.chat_template = template
    return tokenizer


def small_encoder() -> PreTrainedTokenizerFast:
    """A tokenizer that puts [CLS] and [SEP] around a text, as encoders have it."""
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    backend = Tokenizer.from_str(_trained("bytes"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    pairs = [(name, tokenizer.convert_tokens_to_ids(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=pairs)
    return tokenizer


@cache
def _trained(kind: Kind) -> str:
    backend = Tokenizer(models.BPE(byte_fallback=kind != "bytes", unk_token=None if kind == "bytes" else "<unk>"))
    options: dict[str, Any] = {"vocab_size": 500, "show_progress": False}
    if kind == "bytes":
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        options["initial_alphabet"] = pre_tokenizers.ByteLevel.alphabet()
    else:
        options["special_tokens"] = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
        parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        backend.decoder = decoders.Sequence(parts)
        if kind == "prepend":
            spaces = normalizers.Replace(" ", "▁")
            backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces])
        else:
            backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=kind, split=False)
    backend.train_from_iterator(TEXT, trainers.BpeTrainer(**options))
    return str(backend.to_str())
