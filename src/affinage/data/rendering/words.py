"""A memo in front of a fast tokenizer: text is cut where no token can ever span, and each cut is encoded once.

Natural text repeats its words, so looking a word up is far cheaper than splitting and merging it anew. Where a text may
be cut follows from the tokenizer's own splitting rules; of tokenizers whose rules are not among those known here, none
is taken, and they encode whole texts as ever.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

Encode = Callable[[list[str]], list[bytes]]
"""Texts to packed token ids: those of a text one after the other, each an int32 of the machine."""

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

_KEPT, _KEPT_SIZE = 200_000, 8_000_000  # words in the memo, and their characters; beyond, it starts anew
_ODD = ("  ", " \n", "\n ", "\n\n\n", "\t", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x1f")
_ODD_WIDE = re.compile("[\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_BEFORE_WORD = re.compile(r"(?<=\S)(?= \S)")
_MARK, _PAIR = "\x00", "\x01"  # a text that holds one of them is not cut


class Words:
    """Token ids of texts by way of their words.

    Args:
        encode: the tokenizer itself; it puts nothing before a text.
        newlines_alone: each newline between words is a piece of its own (GPT-2); else they stay with what they follow.
        refused: a text that holds one of these is encoded whole.
        nfc: the tokenizer composes characters, so that only composed text may be cut.
    """

    def __init__(self, encode: Encode, *, newlines_alone: bool, refused: Sequence[str], nfc: bool) -> None:
        self._encode = encode
        self._alone = newlines_alone
        self._refused = (_MARK, _PAIR, *refused)
        self._nfc = nfc
        self._known: dict[str, bytes] = {}
        self._size = 0

    @classmethod
    def of(cls, state: dict[str, Any], encode: Encode, control: Sequence[str]) -> Words | None:
        """The memo for the tokenizer with the JSON `state`, or None where it is not known where texts may be cut.

        `control` tokens are spelt out by `encode`; other added tokens are found by it anywhere in a text.
        """
        model = state["model"]
        plain = not any(model.get(key) for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"))
        rule = _rule(state) if model.get("type") == "BPE" and plain else None
        if rule is None:
            return None
        added = [token["content"] for token in state.get("added_tokens") or [] if token["content"] not in control]
        nfc = any(item["type"] == "NFC" for item in _listed(state.get("normalizer"), "normalizers"))
        refused = [*added, "▁"] if rule == "marked" else added
        return cls(encode, newlines_alone=rule == "gpt2", refused=refused, nfc=nfc)

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """Packed token ids of each text, exactly as the tokenizer gives them."""
        if len(self._known) > _KEPT or self._size > _KEPT_SIZE:
            self._known, self._size = {}, 0  # a new one: other threads go on with theirs
        known = self._known
        cuts = [self._cut(text) for text in texts]
        new = list(set(chain.from_iterable(cuts)).difference(known))
        if new:
            known.update(zip(new, self._encode(new), strict=True))
            self._size += sum(map(len, new))
        get = known.__getitem__
        return [b"".join(map(get, words)) for words in cuts]

    def _cut(self, text: str) -> list[str]:
        """Pieces that together are `text`, none of which any token crosses the border of.

        Such a border lies before a space that stands between two other characters, and between a newline and what is
        no white space.
        """
        for part in self._refused:
            if part in text:
                return [text]
        if self._nfc and not text.isascii() and not unicodedata.is_normalized("NFC", text):
            return [text]
        body = text.rstrip("\n")
        for part in _ODD:
            if part in body:
                return _BEFORE_WORD.split(text)
        if (not body.isascii() and _ODD_WIDE.search(body)) or body[-1:] == " ":
            return _BEFORE_WORD.split(text)
        marked = body.replace(" ", _MARK + " ")
        if "\n" in body:
            if self._alone:
                marked = marked.replace("\n", _MARK + "\n" + _MARK)
            else:
                marked = marked.replace("\n\n", _PAIR).replace("\n", "\n" + _MARK).replace(_PAIR, "\n\n" + _MARK)
        words = marked.split(_MARK)
        tail = text[len(body) :]
        if tail and self._alone:
            words.append(tail)
        elif tail:
            words[-1] += tail
        return words


def _rule(state: dict[str, Any]) -> str | None:
    """Which of the known ways to cut text this tokenizer has: `gpt2`, `llama3` or `marked` (spaces become ▁)."""
    steps = _listed(state.get("pre_tokenizer"), "pretokenizers")
    if not steps:
        return "marked" if _marks_spaces(state) else None
    if any(item["type"] != "NFC" for item in _listed(state.get("normalizer"), "normalizers")):
        return None
    last = steps[-1]
    if last["type"] != "ByteLevel" or last.get("add_prefix_space"):
        return None
    if len(steps) == 1:
        return "gpt2" if last.get("use_regex", True) else None
    first = steps[0]
    if len(steps) > 2 or last.get("use_regex", True) or first["type"] != "Split":
        return None
    if first.get("invert") or first.get("behavior") != "Isolated":
        return None
    pattern = first["pattern"].get("Regex")
    return {_GPT2: "gpt2", _LLAMA3: "llama3", _QWEN2: "llama3"}.get(pattern)


def _marks_spaces(state: dict[str, Any]) -> bool:
    """Whether spaces become ▁ character by character, and no token goes on with a new word or a new line."""
    model = state["model"]
    spaces = 0
    for item in _listed(state.get("normalizer"), "normalizers"):
        wanted = item.get("pattern", {}).get("String", "")
        if item["type"] != "Replace" or len(wanted) != 1:
            return False
        if wanted == " ":
            spaces += item["content"] == "▁"
        elif re.search(r"[\s▁]", item["content"]):
            return False
    if spaces != 1 or "▁" not in model["vocab"] or (model.get("fuse_unk") and not model.get("byte_fallback")):
        return False
    crossing = re.compile(r"[^▁]▁|\n[^\n]|<0x0A>.")
    return not any(crossing.search(token) for token in model["vocab"])


def _listed(item: dict[str, Any] | None, inner: str) -> list[dict[str, Any]]:
    if not item:
        return []
    return list(item[inner]) if item["type"] == "Sequence" else [item]
