"""Rows that say nearly the same: MinHash proposes pairs, the exact overlap of their shingles decides.

How many words a shingle has depends on the length of the shorter text. In a question of ten words one other word
changes the meaning, and pairs of words let nothing through but repeated words and filler (`still`, `yet`). In a page,
pairs of words would call two filled-in forms the same; five in a row ask for running text that is shared.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from affinage.data.ledger import Drop
from affinage.data.records import Record, normalised
from affinage.data.shingles import Hashes, Numbers, ShingleSets, distinct, hashed, shingle_sets
from affinage.data.unions import Unions

SHORTEST = 3  # words: texts with fewer are compared exactly only
# From how many words of the shorter text on, how many words make a shingle.
SIZES = ((SHORTEST, 2), (32, 3), (128, 5))
PERMUTATIONS = 64
_SEED = 1
_NEIGHBOURS = 16  # how far apart two rows of one bucket may stand and still be compared
_CANDIDATES = 256  # rows that one text of a stream is compared with, the latest first
_IN_VAIN = 16  # comparisons
_PAIRS = 1 << 20  # pairs that wait to be compared together
_REFUSED = 1 << 24  # pairs that are remembered as different
_BATCH_WORDS = 1 << 20
_BATCH_ROWS = 1 << 13


@dataclass(frozen=True, slots=True)
class _Family:
    """Texts that may be compared in shingles of `size` words: the shorter one has `low` up to `next` words."""

    size: int
    low: int
    next: float
    high: float

    def holds(self, words: int) -> bool:
        return self.low <= words <= self.high

    def compares(self, fewer: Any) -> Any:
        """Whether pairs whose shorter text has so many words are this family's."""
        return (fewer >= self.low) & (fewer < self.next)


def _families(threshold: float) -> list[_Family]:
    bounds = [low for low, _ in SIZES[1:]] + [math.inf]
    return [
        _Family(size, low, bound, math.ceil(bound / threshold) if math.isfinite(bound) else math.inf)
        for (low, size), bound in zip(SIZES, bounds, strict=True)
    ]


def _bands(threshold: float) -> int:
    """The fewest bands of the sketch that propose at least 99% of the pairs at the threshold."""
    fitting = (
        bands for bands in (1, 2, 4, 8, 16, 32, 64) if 1 - (1 - threshold ** (PERMUTATIONS // bands)) ** bands >= 0.99
    )
    return next(fitting, PERMUTATIONS)


def _check(threshold: float) -> None:
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold:g}: a share above 0 and up to 1 is expected")


def _identity(text: str, tokens: bytes) -> bytes:
    """Equal for texts with the same words in the same order; texts without words are told apart by their characters."""
    raw = tokens or b"\0" + normalised(text).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(raw, digest_size=16).digest()


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
    return float(_jaccard(sets, np.array([0]), np.array([1]))[0])


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
    for family in _families(threshold):
        members = different[(counts[different] >= family.low) & (counts[different] <= family.high)]
        if len(members) > 1:
            _Joiner(_Sketched(texts, members, counts[members], family, threshold), unions).run()
    return unions.groups()


class _Sketched:
    """The texts of a family with their sketches: 8 bytes a band, one a permutation and 24 more for each row."""

    def __init__(
        self, texts: Sequence[str], members: Numbers, words: Numbers, family: _Family, threshold: float
    ) -> None:
        self.texts, self.members, self.words, self.family, self.threshold = texts, members, words, family, threshold
        self.bands = np.empty((len(members), _bands(threshold)), dtype=np.uint64)
        self.sketches = np.empty((len(members), PERMUTATIONS), dtype=np.uint8)
        self.sizes = np.empty(len(members), dtype=np.int64)
        for rows in _batches(words):
            sets = self.sets(rows)
            digests = _digests(sets)
            self.sizes[rows] = sets.sizes
            self.sketches[rows] = digests & 0xFF
            self.bands[rows] = _band_hashes(digests, self.bands.shape[1])

    def sets(self, rows: Numbers) -> ShingleSets:
        return shingle_sets([hashed(self.texts[row]) for row in self.members[rows].tolist()], self.family.size)

    def promising(self, left: Numbers, right: Numbers, crowded: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Pairs that may reach the threshold, by their lengths, their numbers of shingles and their sketches.

        `crowded` pairs must agree as much as one at the threshold does on average, the others four deviations less.
        """
        fewer = np.minimum(self.words[left], self.words[right])
        fits = self.family.compares(fewer) & (fewer >= self.threshold * np.maximum(self.words[left], self.words[right]))
        small, large = np.minimum(self.sizes[left], self.sizes[right]), np.maximum(self.sizes[left], self.sizes[right])
        fits &= small >= self.threshold * large
        found = np.flatnonzero(fits)
        agreed = (self.sketches[left[found]] == self.sketches[right[found]]).sum(axis=1)
        slack = 4 * math.sqrt(PERMUTATIONS * self.threshold * (1 - self.threshold)) + 1
        fits[found] = agreed >= PERMUTATIONS * self.threshold - np.where(crowded[found], 0, slack)
        return np.asarray(fits, dtype=bool)

    def near(self, left: Numbers, right: Numbers) -> npt.NDArray[np.bool_]:
        """Which pairs' exact overlap reaches the threshold."""
        near = np.zeros(len(left), dtype=bool)
        for part in _batches(self.words[left] + self.words[right]):
            rows, places = np.unique(np.concatenate([left[part], right[part]]), return_inverse=True)
            ends = places.reshape(2, -1)
            near[part] = _jaccard(self.sets(rows), ends[0], ends[1]) >= self.threshold
        return near


class _Joiner:
    """Joins rows of one family that share a band and pass the exact comparison; a pair is compared once.

    Rows that were compared in vain with `_IN_VAIN` others stand in a crowd of like rows (filled-in forms): of those
    only pairs that the sketch is sure of are compared, and none after four times as many.
    """

    def __init__(self, sketched: _Sketched, unions: Unions) -> None:
        self.sketched, self.unions = sketched, unions
        self.refused = np.empty(0, dtype=np.int64)  # pairs that were compared and are not near, ascending
        self.in_vain = np.zeros(len(sketched.members), dtype=np.int64)
        self.roots = unions.roots()[sketched.members]

    def run(self) -> None:
        """Band by band: first each row with its neighbour, which settles crowds of repetitions, then with the others.

        Rows of a bucket stand beside those that share the next band too, and each is compared with the rows up to
        `_NEIGHBOURS` further: so a bucket of any size costs time in proportion to its rows.
        """
        bands = self.sketched.bands
        for band in range(bands.shape[1]):
            order = np.lexsort((bands[:, (band + 1) % bands.shape[1]], bands[:, band]))
            keys = bands[order, band]
            here = np.flatnonzero(keys[1:] == keys[:-1])
            waiting: list[Numbers] = []
            for distance in range(1, _NEIGHBOURS + 1):
                here = here[here + distance < len(keys)]
                here = here[keys[here] == keys[here + distance]]
                if not len(here):
                    break
                waiting.append(self._worth_comparing(order[here], order[here + distance]))
                if distance == 1 or sum(map(len, waiting)) > _PAIRS:
                    self._compare(waiting)
            self._compare(waiting)

    def _worth_comparing(self, left: Numbers, right: Numbers) -> Numbers:
        """Pairs (as one number each) that are not in one set yet, and may be near by their sketches."""
        in_vain = np.maximum(self.in_vain[left], self.in_vain[right])
        apart = (self.roots[left] != self.roots[right]) & (in_vain < 4 * _IN_VAIN)
        low, high = np.minimum(left[apart], right[apart]), np.maximum(left[apart], right[apart])
        fits = self.sketched.promising(low, high, in_vain[apart] >= _IN_VAIN)
        return np.asarray(low[fits] * len(self.sketched.members) + high[fits], dtype=np.int64)

    def _compare(self, waiting: list[Numbers]) -> None:
        """Compare the waiting pairs, and join those that are near."""
        pairs = distinct(np.concatenate(waiting)) if waiting else np.empty(0, dtype=np.int64)
        waiting.clear()
        if len(self.refused):
            places = np.minimum(np.searchsorted(self.refused, pairs), len(self.refused) - 1)
            pairs = pairs[self.refused[places] != pairs]
        if not len(pairs):
            return
        left, right = np.divmod(pairs, len(self.sketched.members))
        near = self.sketched.near(left, right)
        self.in_vain += np.bincount(np.concatenate([left[~near], right[~near]]), minlength=len(self.in_vain))
        if len(self.refused) < _REFUSED:
            self.refused = np.sort(np.concatenate([self.refused, pairs[~near]]))
        if near.any():
            members = self.sketched.members
            for one, other in zip(members[left[near]].tolist(), members[right[near]].tolist(), strict=True):
                self.unions.join(one, other)
            self.roots = self.unions.roots()[members]


def _digests(sets: ShingleSets) -> npt.NDArray[np.uint32]:
    """The MinHash sketch of each set, rows x permutations."""
    import rensa

    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        sets.values, sets.offsets.astype(np.uint64), PERMUTATIONS, _SEED
    )
    return np.array(matrix.to_rows(), dtype=np.uint32).reshape(-1, PERMUTATIONS)


def _band_hashes(digests: npt.NDArray[np.uint32], bands: int) -> npt.NDArray[np.uint64]:
    """One number for each band of each sketch, rows x bands."""
    mixed = np.zeros((len(digests), bands), dtype=np.uint64)
    for column in digests.reshape(len(digests), bands, -1).transpose(2, 0, 1):
        mixed = (mixed ^ column) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _jaccard(sets: ShingleSets, left: Numbers, right: Numbers) -> npt.NDArray[np.float64]:
    shared = sets.shared(left, right)
    return np.asarray(shared / (sets.sizes[left] + sets.sizes[right] - shared), dtype=np.float64)


def _batches(words: Numbers) -> Iterator[Numbers]:
    """Row numbers in order, so many at a time that memory stays small; a huge text comes alone."""
    batch = np.maximum(np.cumsum(words) // _BATCH_WORDS, np.arange(len(words)) // _BATCH_ROWS)
    edges = np.flatnonzero(np.diff(batch, prepend=-1)) if len(words) else np.array([], dtype=np.int64)
    yield from (rows for rows in np.split(np.arange(len(words)), edges[1:]) if len(rows))


class NearIndex:
    """Texts seen so far, for streams: is a new one nearly the same as one of them?

    Memory grows with the texts: eight bytes a word, and two kilobytes a text.

    Raises:
        ValueError: the threshold is not above 0 and up to 1.
    """

    def __init__(self, threshold: float = 0.8) -> None:
        import rensa

        _check(threshold)
        self.threshold = threshold
        self._families = _families(threshold)
        self._new_sketch: Callable[[], Any] = lambda: rensa.RMinHash(PERMUTATIONS, _SEED)
        self._tables = [rensa.RMinHashLSH(threshold, PERMUTATIONS, _bands(threshold)) for _ in self._families]
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
            self._sketches[place][number] = _short(sketch)
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
        agreed = (digests.reshape(-1, PERMUTATIONS) == np.frombuffer(_short(sketch), dtype=np.uint8)).sum(axis=1)
        slack = 4 * math.sqrt(PERMUTATIONS * self.threshold * (1 - self.threshold)) + 1
        promising = np.flatnonzero(agreed >= PERMUTATIONS * self.threshold - slack)
        return [found[index] for index in promising.tolist()]


def _short(sketch: Any) -> bytes:
    """The last eight bits of each permutation."""
    return (np.array(sketch.digest(), dtype=np.uint32) & 0xFF).astype(np.uint8).tobytes()


def drop_near(records: Sequence[Record], groups: Iterable[Sequence[int]]) -> tuple[list[Record], list[Drop]]:
    """`records` with the first of each group alone, and the others as drops (`near-duplicate`)."""
    first = {row: group[0] for group in groups for row in group[1:]}
    kept = [record for row, record in enumerate(records) if row not in first]
    drops = [
        Drop("near-duplicate", records[row].source, f"nearly the same as {records[of].source}", records[row].id)
        for row, of in sorted(first.items())
    ]
    return kept, drops
