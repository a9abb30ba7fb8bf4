"""Which rows of a family are near: their sketches propose pairs, the exact overlap of their shingles decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from affinage.data.duplicates.shingles import Numbers, ShingleSets, distinct, hashed, shingle_sets
from affinage.data.duplicates.sketches import (
    PERMUTATIONS,
    Family,
    agreement,
    band_hashes,
    bands_for,
    digests_of,
    jaccard,
)
from affinage.data.splits.unions import Unions

_NEIGHBOURS = 16  # how far apart two rows of one bucket may stand and still be compared
_IN_VAIN = 32  # comparisons
_PAIRS = 1 << 20  # pairs that wait to be compared together
_REFUSED = 1 << 24  # pairs that are remembered as different
_BATCH_WORDS = 1 << 20
_BATCH_ROWS = 1 << 13


class Sketched:
    """The texts of a family with their sketches: 8 bytes a band, one a permutation and 24 more for each row."""

    def __init__(
        self, texts: Sequence[str], members: Numbers, words: Numbers, family: Family, threshold: float
    ) -> None:
        self.texts, self.members, self.words, self.family, self.threshold = texts, members, words, family, threshold
        self.bands = np.empty((len(members), bands_for(threshold)), dtype=np.uint64)
        self.sketches = np.empty((len(members), PERMUTATIONS), dtype=np.uint8)
        self.sizes = np.empty(len(members), dtype=np.int64)
        for rows in _batches(words):
            sets = self.sets(rows)
            digests = digests_of(sets)
            self.sizes[rows] = sets.sizes
            self.sketches[rows] = digests & 0xFF
            self.bands[rows] = band_hashes(digests, self.bands.shape[1])

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
        enough = agreement(self.threshold), agreement(self.threshold, sure=True)
        fits[found] = agreed >= np.where(crowded[found], enough[1], enough[0])
        return np.asarray(fits, dtype=bool)

    def near(self, left: Numbers, right: Numbers) -> npt.NDArray[np.bool_]:
        """Which pairs' exact overlap reaches the threshold."""
        near = np.zeros(len(left), dtype=bool)
        for part in _batches(self.words[left] + self.words[right]):
            rows, places = np.unique(np.concatenate([left[part], right[part]]), return_inverse=True)
            ends = places.reshape(2, -1)
            near[part] = jaccard(self.sets(rows), ends[0], ends[1]) >= self.threshold
        return near


class Joiner:
    """Joins rows of one family that share a band and pass the exact comparison; a pair is compared once.

    Rows that were compared in vain with `_IN_VAIN` others stand in a crowd of like rows (filled-in forms): of those
    only pairs that the sketch is sure of are compared, and none after four times as many.
    """

    def __init__(self, sketched: Sketched, unions: Unions) -> None:
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


def _batches(words: Numbers) -> Iterator[Numbers]:
    """Row numbers in order, so many at a time that memory stays small; a huge text comes alone."""
    batch = np.maximum(np.cumsum(words) // _BATCH_WORDS, np.arange(len(words)) // _BATCH_ROWS)
    edges = np.flatnonzero(np.diff(batch, prepend=-1)) if len(words) else np.array([], dtype=np.int64)
    yield from (rows for rows in np.split(np.arange(len(words)), edges[1:]) if len(rows))
