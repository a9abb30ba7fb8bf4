"""Texts as sets of hashed word sequences: what near-duplicates and contamination are told by.

A word is a run of letters and digits, one character of a script that is written without spaces, or one symbol that
carries meaning (`+`, `%`, an emoji). Case, spacing and sentence punctuation do not count. Every word becomes 64 bits of
BLAKE2b, and every sequence of words 64 bits mixed from those, so that long texts cost eight bytes a word and nothing
depends on the process.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

# Thai, Lao, Myanmar, Khmer, kana and Han: no spaces between words, so each character stands for itself.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_PUNCTUATION = r"\s\x1c-\x1f.,;:!?'\"()\[\]{}…‘’“”«»¿¡"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w{_PUNCTUATION}]")
_ASCII_WORD = re.compile(rf"\w+|[^\w{_PUNCTUATION}]", re.ASCII)  # the same words, found faster
_LONG_TEXT = 1 << 18  # characters: beyond, words are read one by one, so that no list of them is held
_LONG_WORD = 64  # characters: longer ones are hashed, not remembered
_REMEMBERED = 1 << 19  # words whose hashes are kept
_PAD = b"\0" * 8
_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class _WordHashes(dict[str, bytes]):
    """Word -> eight bytes, computed at the first look; forgotten all at once when there are too many."""

    def __missing__(self, word: str) -> bytes:
        value = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        if len(word) <= _LONG_WORD:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[word] = value
        return value


_HASHES = _WordHashes()


def words(text: str) -> Iterable[str]:
    """The words of a text, folded: compatible forms of a character are one, and so are both cases."""
    folded = (text if text.isascii() else unicodedata.normalize("NFKC", text)).casefold()
    pattern = _ASCII_WORD if folded.isascii() else _WORD
    if len(folded) <= _LONG_TEXT:
        return pattern.findall(folded)
    return (found.group() for found in pattern.finditer(folded))


def hashed(text: str) -> bytes:
    """The words of a text, eight bytes each."""
    return b"".join(map(_HASHES.__getitem__, words(text)))


def as_numbers(tokens: bytes) -> Hashes:
    """Hashed words as numbers, the same on every machine."""
    return np.frombuffer(tokens, dtype="<u8").astype(np.uint64, copy=False)


def sequences(tokens: Hashes, size: int) -> Hashes:
    """A hash for every `size` neighbouring words; none where there are fewer words.

    Sequences of 1, 2, 4 ... words are made from halves, and those of `size` from them.
    """
    count = max(0, len(tokens) - size + 1)
    found: Hashes | None = None
    part, length, taken = tokens, 1, 0
    while True:
        if size & length:
            piece = part[taken : taken + count]
            found = piece if found is None else _chained(found, piece)
            taken += length
        if 2 * length > size:
            return np.array(found, dtype=np.uint64)
        part = _chained(part[: max(0, len(part) - length)], part[length:])
        length *= 2


def _chained(before: Hashes, after: Hashes) -> Hashes:
    """Hashes of what stands before followed by what stands after."""
    mixed = before.copy()
    for multiplier in _MULTIPLIERS:  # splitmix64's finaliser: every bit of the first reaches every bit
        mixed ^= mixed >> np.uint64(30)
        mixed *= multiplier
    mixed ^= mixed >> np.uint64(31)
    mixed ^= after
    return mixed


def distinct(values: Any) -> Any:
    """The different values of an integer array, ascending. (`numpy.unique` hashes, which degenerates on such values.)"""
    values = np.sort(values)
    return values[np.append(True, values[1:] != values[:-1])] if len(values) else values


def spans(starts: Numbers, lengths: Numbers) -> Numbers:
    """Indices `start .. start + length` of every span, one after the other."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


@dataclass(frozen=True, slots=True)
class ShingleSets:
    """Sets of hashed shingles: row `n` is `values[offsets[n] : offsets[n + 1]]`, ascending, each value once."""

    values: Hashes
    offsets: Numbers

    @property
    def sizes(self) -> Numbers:
        return np.diff(self.offsets)

    def shared(self, left: Numbers, right: Numbers) -> Numbers:
        """How many shingles each pair of rows has in common."""
        ends = np.concatenate([left, right])
        distinct, ranks = np.unique(self.values, return_inverse=True)
        owners = np.tile(np.arange(len(left)), 2)
        # One number for (pair, value): sorting those is many times faster than sorting by two keys.
        keys = np.repeat(owners * len(distinct), self.sizes[ends])
        keys += ranks[spans(self.offsets[ends], self.sizes[ends])]
        keys.sort()
        twice = keys[1:][keys[1:] == keys[:-1]]
        return np.bincount(twice // max(1, len(distinct)), minlength=len(left)).astype(np.int64)


def shingle_sets(tokens: Sequence[bytes], size: int) -> ShingleSets:
    """The shingles of some texts (as `hashed` gives them), `size` words each.

    A text is padded with `size - 1` blanks on both sides: so a word at its end is in as many shingles as one in the
    middle, and a change there counts as much.
    """
    pad = _PAD * (size - 1)
    flat = as_numbers(pad + pad.join(tokens) + pad)
    lengths = np.array([len(row) // 8 + size - 1 for row in tokens], dtype=np.int64)
    # Two texts stand `size - 1` blanks apart: no window holds words of both, and none is blank throughout.
    rows = np.repeat(np.arange(len(tokens)), lengths)
    values = sequences(flat, size)
    order = np.lexsort((values, rows))
    values, rows = values[order], rows[order]
    first: Any = np.ones(len(values), dtype=bool)
    first[1:] = (values[1:] != values[:-1]) | (rows[1:] != rows[:-1])
    counts = np.bincount(rows[first], minlength=len(tokens))
    return ShingleSets(values[first], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
