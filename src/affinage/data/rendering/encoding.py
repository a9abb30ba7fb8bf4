"""Text to token ids with the control tokens under control: people's text can never write one.

The tokenizer's own fast backend does the work, in private copies, so that no setting of the shared tokenizer is
touched and threads cannot disturb each other.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from affinage.data.records import digest
from affinage.data.rendering.words import Words
from affinage.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Encoder:
    """Plain-text encoding of a fast tokenizer.

    Control tokens are the tokenizer's special tokens, and those added tokens that the chat template itself writes
    (some families do not mark their turn tokens as special). `encode` never yields one from text.

    Args:
        tokenizer: a fast tokenizer of transformers.
        template: source of the chat template.

    Raises:
        InputError: the tokenizer has no fast backend.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise InputError(
                f"{type(tokenizer).__name__} is not a fast tokenizer, so text positions cannot be followed",
                fix="use a model whose folder holds a tokenizer.json",
            )
        state = json.loads(backend.to_str())
        # Truncation and padding are left behind by whoever called the tokenizer last, and never used here.
        self.backend_digest = digest({key: state[key] for key in state if key not in ("truncation", "padding")})
        added = state.get("added_tokens") or []
        control = [token for token in added if token["special"] or _written_by(template, token["content"])]
        for token in control:
            token["special"] = True  # so that `encode_special_tokens` keeps its hands off this one too
        self.control: dict[str, int] = {token["content"]: token["id"] for token in control}
        self.strips_after = frozenset(token["content"] for token in control if token["rstrip"])
        self.strips_before = frozenset(token["content"] for token in control if token["lstrip"])
        longest_first = sorted(self.control, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._opening = _plain(state)
        without = _without_prefix(state)
        self._bare = _plain(without) if without != state else self._opening
        self._words = self._memos(state, without)
        self.bare_after_control = self._takes_no_prefix(backend)

    def encode(self, texts: Sequence[str], *, bare: bool = False, special: bool = False) -> list[list[int]]:
        """Token ids of each text.

        Args:
            texts: people's text; control tokens in it are spelt out as ordinary characters.
            bare: the texts continue something, so no leading space is put before them.
            special: add the tokenizer's usual special tokens around each text ([CLS] .. [SEP], BOS ..).
        """
        if special:
            return self._lists(list(texts), bare=bare, special=True)
        return [np.frombuffer(ids, np.int32).tolist() for ids in self.packed(texts, bare=bare)]

    def packed(self, texts: Sequence[str], *, bare: bool = False) -> list[bytes]:
        """As `encode`, the ids of a text as the bytes of int32 numbers: quick to put together."""
        words = self._words[bare]
        return self._packed(list(texts), bare=bare) if words is None else words.encode(texts)

    def trace(self, text: str, *, bare: bool = False) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids of `text`, and for each token its span of characters in it."""
        backend = self._bare if bare else self._opening
        try:
            item = backend.encode(text, add_special_tokens=False)
        except (TypeError, UnicodeEncodeError):
            raise _not_unicode([text]) from None
        return item.ids, item.offsets

    def split(self, text: str) -> list[tuple[str, bool]]:
        """A template's own text as pieces, each with whether it is a control token."""
        pieces, position = [], 0
        for found in self.pattern.finditer(text):
            if found.start() > position:
                pieces.append((text[position : found.start()], False))
            pieces.append((found[0], True))
            position = found.end()
        if position < len(text):
            pieces.append((text[position:], False))
        return pieces

    def _lists(self, texts: list[str], *, bare: bool, special: bool = False) -> list[list[int]]:
        backend = self._bare if bare else self._opening
        try:
            return [item.ids for item in backend.encode_batch_fast(texts, add_special_tokens=special)]
        except (TypeError, UnicodeEncodeError):
            raise _not_unicode(texts) from None

    def _packed(self, texts: list[str], *, bare: bool) -> list[bytes]:
        return [array("i", ids).tobytes() for ids in self._lists(texts, bare=bare)]

    def _memos(self, state: dict[str, Any], without: dict[str, Any]) -> dict[bool, Words | None]:
        """The memo for texts that begin something (False) and for those that continue something (True)."""
        opening, bare = (
            Words.of(shape, partial(self._packed, bare=continued), tuple(self.control))
            for continued, shape in ((False, state), (True, without))
        )
        return {False: opening, True: opening if self._bare is self._opening else bare}

    def _takes_no_prefix(self, backend: Tokenizer) -> bool:
        """Whether the tokenizer itself puts no leading space before a text that follows a control token."""
        if self._bare is self._opening or not self.control:
            return False
        token = next(iter(self.control))
        parsing = Tokenizer.from_str(backend.to_str())
        parsing.no_truncation()
        own = parsing.encode(token + "a", add_special_tokens=False).ids[1:]
        return bool(own == self.encode(["a"], bare=True)[0])


def _written_by(template: str, token: str) -> bool:
    return not token.isspace() and token in template


def _plain(state: dict[str, Any]) -> Tokenizer:
    backend = Tokenizer.from_str(json.dumps(state))
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True
    return backend


def _without_prefix(state: Any) -> Any:
    """The tokenizer's JSON without the leading space that some put before each text."""
    if isinstance(state, list):
        return [
            _without_prefix(item) for item in state if not (isinstance(item, dict) and item.get("type") == "Prepend")
        ]
    if not isinstance(state, dict):
        return state
    if "normalizer" in state and "model" in state:  # the top: vocabulary and merges are large and stay as they are
        inner = {key: _without_prefix(state[key]) for key in ("normalizer", "pre_tokenizer")}
        if (inner["normalizer"] or {}).get("type") == "Prepend":
            inner["normalizer"] = None
        return {**state, **inner}
    changed = {key: _without_prefix(value) for key, value in state.items()}
    if changed.get("type") == "Metaspace":
        changed["prepend_scheme"] = "never"
    if changed.get("type") == "ByteLevel":
        changed["add_prefix_space"] = False
    return changed


def _not_unicode(texts: Iterable[str]) -> InputError:
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            return InputError(
                f"a text holds half of a surrogate pair at character {error.start}: {text[: error.start][-40:]!r}",
                fix="write the file as valid UTF-8",
            )
    return InputError("a text cannot be encoded", fix="check that every text is a string of valid UTF-8")
