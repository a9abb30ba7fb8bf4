"""Rows that say nearly the same: MinHash proposes pairs, the exact overlap of their shingles decides.

How many words a shingle has depends on the length of the shorter text. In a question of ten words one other word
changes the meaning, and pairs of words let nothing through but repeated words and filler (`still`, `yet`). In a page,
pairs of words would call two filled-in forms the same; five in a row ask for running text that is shared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from affinage.data.duplicates.joining import Joiner, Sketched
from affinage.data.duplicates.shingles import Hashes, hashed, shingle_sets
from affinage.data.duplicates.sketches import (
    PERMUTATIONS,
    SEED,
    SHORTEST,
    SIZES,
    agreement,
    bands_for,
    families,
    jaccard,
    short,
)
from affinage.data.ledger import Drop
from affinage.data.records import Record, normalised
from affinage.data.splits.unions import Unions

_CANDIDATES = 256  # rows that one text of a stream is compared with, the latest


def similarity(one: str, other: str) -> float:
    """How much two texts say the same, from 0 to 1: the Jaccard overlap of their shingles; 1 for the same words.

    0 where it cannot be told: a text with fewer than three words that is not the same.
    """
    tokens = [hashed(one), hashed(other)]
    if _identity(one, tokens[0]) == _identity(other, tokens[1]):
        return 1.0
    fewer = min(map(len, tokens)) // 8
    if fewer < SHORTEST:
        return 0.0
    sets = shingle_sets(tokens, next(size for low, size in reversed(SIZES) if fewer >= low))
    return float(jaccard(sets, np.array([0]), np.array([1]))[0])


def clusters(texts: Sequence[str], *, threshold: float = 0.8) -> list[list[int]]:
    """Groups of rows that say nearly the same, exact repetitions included.

    Rows are joined where their similarity is at least `threshold` and neither has more than 1 / `threshold` times the
    words of the other; then the rows that those were joined with, and so on. Every joined pair was compared exactly;
    which pairs are compared is a matter of chance (with a fixed seed): at the threshold one in a hundred may be missed,
    and in a crowd of like rows each is compared with its neighbours.

    Returns:
        Two or more row numbers each, ascending; groups in the order of their first rows.

    Raises:
        ValueError: the threshold is not above 0 and up to 1.
    """
    _check(threshold)
    unions = Unions(len(texts))
    counts = np.zeros(len(texts), dtype=np.int64)
    first: dict[bytes, int] = {}
    for row, text in enumerate(texts):
        tokens = hashed(text)
        counts[row] = len(tokens) // 8
        kept = first.setdefault(_identity(text, tokens), row)
        if kept != row:
            unions.join(kept, row)
    different = np.fromiter(first.values(), dtype=np.int64, count=len(first))
    del first
    for family in families(threshold):
        members = different[(counts[different] >= family.low) & (counts[different] <= family.high)]
        if len(members) > 1:
            Joiner(Sketched(texts, members, counts[members], family, threshold), unions).run()
    return unions.groups()


class NearIndex:
    """Texts seen so far, for streams: is a new one nearly the same as one of them?

    Memory grows with the texts: eight bytes a word, and two and a half kilobytes a text.

    Raises:
        ValueError: the threshold is not above 0 and up to 1.
    """

    def __init__(self, threshold: float = 0.8) -> None:
        import rensa

        _check(threshold)
        self.threshold = threshold
        self._families = families(threshold)
        self._new_sketch: Callable[[], Any] = lambda: rensa.RMinHash(PERMUTATIONS, SEED)
        self._tables = [rensa.RMinHashLSH(threshold, PERMUTATIONS, bands_for(threshold)) for _ in self._families]
        self._sets: list[dict[int, bytes]] = [{} for _ in self._families]
        self._sketches: list[dict[int, bytes]] = [{} for _ in self._families]
        self._words: list[int] = []
        self._exact: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._words)

    def nearest(self, text: str) -> tuple[int, float] | None:
        """The number of the most similar text and its similarity, the first of equals; None below the threshold."""
        tokens = hashed(text)
        same = self._exact.get(_identity(text, tokens))
        if same is not None:
            return same, 1.0
        found = [candidate for place in self._places(tokens) for candidate in self._near(place, tokens)]
        return min(found, key=lambda candidate: (-candidate[1], candidate[0]), default=None)

    def add(self, text: str) -> int:
        """Take a text in. Returns its number: 0 for the first, and so on."""
        number, tokens = len(self._words), hashed(text)
        self._words.append(len(tokens) // 8)
        identity = _identity(text, tokens)
        if identity in self._exact:
            return number  # the first of equals answers for all
        self._exact[identity] = number
        for place in self._places(tokens):
            shingles = shingle_sets([tokens], self._families[place].size).values.tobytes()
            sketch = self._sketch(shingles)
            self._tables[place].insert(number, sketch)
            self._sketches[place][number] = short(sketch)
            self._sets[place][number] = shingles
        return number

    def _places(self, tokens: bytes) -> list[int]:
        return [place for place, family in enumerate(self._families) if family.holds(len(tokens) // 8)]

    def _sketch(self, shingles: bytes) -> Any:
        sketch = self._new_sketch()
        sketch.update([shingles[start : start + 8] for start in range(0, len(shingles), 8)])
        return sketch

    def _near(self, place: int, tokens: bytes) -> Iterator[tuple[int, float]]:
        """Texts of one family at or above the threshold."""
        family, words = self._families[place], len(tokens) // 8
        shingles = shingle_sets([tokens], family.size).values
        for number in self._candidates(place, shingles):
            fewer, more = sorted((words, self._words[number]))
            if not family.compares(fewer) or fewer < self.threshold * more:
                continue
            other = np.frombuffer(self._sets[place][number], dtype=np.uint64)
            shared = len(np.intersect1d(shingles, other, assume_unique=True))
            share = shared / (len(shingles) + len(other) - shared)
            if share >= self.threshold:
                yield number, share

    def _candidates(self, place: int, shingles: Hashes) -> list[int]:
        """Numbers of texts whose sketches say that they may be near."""
        sketch = self._sketch(shingles.tobytes())
        found = sorted(self._tables[place].query(sketch))[-_CANDIDATES:]
        if not found:
            return found
        digests = np.frombuffer(b"".join(self._sketches[place][number] for number in found), dtype=np.uint8)
        agreed = (digests.reshape(-1, PERMUTATIONS) == np.frombuffer(short(sketch), dtype=np.uint8)).sum(axis=1)
        promising = np.flatnonzero(agreed >= agreement(self.threshold))
        return [found[index] for index in promising.tolist()]


def drop_near(records: Sequence[Record], groups: Iterable[Sequence[int]]) -> tuple[list[Record], list[Drop]]:
    """`records` with the first of each group alone, and the others as drops (`near-duplicate`)."""
    first = {row: group[0] for group in groups for row in group[1:]}
    kept = [record for row, record in enumerate(records) if row not in first]
    drops = [
        Drop("near-duplicate", records[row].source, f"nearly the same as {records[of].source}", records[row].id)
        for row, of in sorted(first.items())
    ]
    return kept, drops


def _identity(text: str, tokens: bytes) -> bytes:
    """Equal for texts with the same words in the same order; texts without words are told apart by their characters."""
    raw = tokens or b"\0" + normalised(text).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(raw, digest_size=16).digest()


def _check(threshold: float) -> None:
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold:g}: a share above 0 and up to 1 is expected")
