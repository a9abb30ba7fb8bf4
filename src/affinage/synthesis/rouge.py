"""ROUGE-L between short texts: the longest common subsequence of words, as the share F of both lengths."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """Runs of letters and digits, case folded."""
    return _WORD.findall(text.casefold())


def longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence; bit-parallel over `first`."""
    places: dict[str, int] = {}
    for position, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << position
    full = (1 << len(first)) - 1
    row = full
    for word in second:
        hits = row & places.get(word, 0)
        row = ((row + hits) | (row - hits)) & full
    return len(first) - row.bit_count()


def rouge_l(first: Sequence[str], second: Sequence[str]) -> float:
    """F of precision and recall, 0 to 1; 0 where a text has no words."""
    if not first or not second:
        return 0.0
    return 2 * longest_common(first, second) / (len(first) + len(second))


class RougeIndex:
    """Texts, of which the nearest by ROUGE-L is asked for.

    Each question looks at every text whose words allow a similarity of `threshold` at all.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._texts: list[tuple[list[str], Counter[str]]] = []

    def nearest(self, text: str) -> tuple[int, float] | None:
        """The number of the nearest text and its similarity, where that is above the threshold."""
        words = words_of(text)
        counts = Counter(words)
        best: tuple[int, float] | None = None
        bar = self.threshold
        for number, (other, theirs) in enumerate(self._texts):
            both = len(words) + len(other)
            if 2 * min(len(words), len(other)) <= bar * both:
                continue
            if 2 * (counts & theirs).total() <= bar * both:  # no subsequence has more words than are common
                continue
            similarity = rouge_l(words, other)
            if similarity > bar:
                best, bar = (number, similarity), similarity
        return best

    def add(self, text: str) -> None:
        words = words_of(text)
        self._texts.append((words, Counter(words)))
