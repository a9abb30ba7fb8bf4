"""A small n-gram model of bytes: how predictable a text is from a little of its own kind, whatever any base knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ORDER = 5
_DISCOUNT = 0.75

Codes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Level:
    """Counts of one order: n-grams (sorted), their counts, and totals and numbers of followers by context (sorted)."""

    grams: Codes
    counts: NDArray[np.float64]
    contexts: Codes
    totals: NDArray[np.float64]
    followers: NDArray[np.float64]


class ByteNGram:
    """Interpolated Kneser-Ney over bytes (Kneser and Ney 1995; interpolated as in Chen and Goodman 1999, section 2.8).

    Args:
        text: what is learned from.
        order: bytes of an n-gram, the predicted one included, at most 8.
    """

    def __init__(self, text: bytes, order: int = ORDER) -> None:
        self.order = order
        grams, counts = np.unique(_codes(text, order), return_counts=True)
        levels = []
        for size in range(order, 0, -1):
            levels.append(_level(grams, counts))
            # one order down, a gram counts once for each different byte that stands before it
            grams, counts = np.unique(grams & np.uint64(256 ** (size - 1) - 1), return_counts=True)
        self._levels = levels[::-1]

    def bits_per_byte(self, text: bytes) -> float:
        """Mean of -log2 p over the bytes of `text` that have a whole context before them."""
        codes = _codes(text, self.order)
        if not len(codes):
            return 8.0
        p_N = np.full(len(codes), 1 / 256)
        for size, level in enumerate(self._levels, start=1):
            p_N = _refined(level, codes & np.uint64(256**size - 1), p_N)
        return float(-np.log2(p_N).mean())


def _codes(text: bytes, order: int) -> Codes:
    """Each run of `order` bytes as one number (N - order + 1)."""
    raw = np.frombuffer(text, np.uint8).astype(np.uint64)
    size = len(raw) - order + 1
    codes = np.zeros(max(0, size), np.uint64)
    for place in range(order):
        codes = (codes << np.uint64(8)) | raw[place : place + size] if size > 0 else codes
    return codes


def _level(grams: Codes, found: NDArray[np.int64]) -> _Level:
    counts = found.astype(np.float64)
    contexts, places = np.unique(grams >> np.uint64(8), return_inverse=True)
    totals = np.bincount(places, weights=counts).astype(np.float64)
    return _Level(grams, counts, contexts, totals, np.bincount(places).astype(float))


def _refined(level: _Level, codes_N: Codes, lower_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities under this order, given those under the order below; an unseen context leaves them."""
    place = np.minimum(np.searchsorted(level.contexts, codes_N >> np.uint64(8)), len(level.contexts) - 1)
    known = level.contexts[place] == codes_N >> np.uint64(8)
    gram = np.minimum(np.searchsorted(level.grams, codes_N), len(level.grams) - 1)
    count = np.where(level.grams[gram] == codes_N, level.counts[gram], 0.0)
    total = level.totals[place]
    own = np.maximum(count - _DISCOUNT, 0) / total
    spared = _DISCOUNT * level.followers[place] / total
    return np.where(known, own + spared * lower_N, lower_N)
