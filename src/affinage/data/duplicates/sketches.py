"""MinHash sketches of shingle sets: in which shingles texts are compared, and which pairs may be near."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from affinage.data.duplicates.shingles import Numbers, ShingleSets

SHORTEST = 3  # words: texts with fewer are compared exactly only
# From how many words of the shorter text on, how many words make a shingle.
SIZES = ((SHORTEST, 2), (32, 3), (128, 5))
PERMUTATIONS = 64
SEED = 1


@dataclass(frozen=True, slots=True)
class Family:
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


def families(threshold: float) -> list[Family]:
    bounds = [low for low, _ in SIZES[1:]] + [math.inf]
    return [
        Family(size, low, bound, math.ceil(bound / threshold) if math.isfinite(bound) else math.inf)
        for (low, size), bound in zip(SIZES, bounds, strict=True)
    ]


def bands_for(threshold: float) -> int:
    """The fewest bands of the sketch that propose at least 99% of the pairs at the threshold."""
    fitting = (
        bands for bands in (1, 2, 4, 8, 16, 32, 64) if 1 - (1 - threshold ** (PERMUTATIONS // bands)) ** bands >= 0.99
    )
    return next(fitting, PERMUTATIONS)


def digests_of(sets: ShingleSets) -> npt.NDArray[np.uint32]:
    """The MinHash sketch of each set, rows x permutations."""
    import rensa

    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        sets.values, sets.offsets.astype(np.uint64), PERMUTATIONS, SEED
    )
    return np.array(matrix.to_rows(), dtype=np.uint32).reshape(-1, PERMUTATIONS)


def band_hashes(digests: npt.NDArray[np.uint32], bands: int) -> npt.NDArray[np.uint64]:
    """One number for each band of each sketch, rows x bands."""
    mixed = np.zeros((len(digests), bands), dtype=np.uint64)
    for column in digests.reshape(len(digests), bands, -1).transpose(2, 0, 1):
        mixed = (mixed ^ column) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def short(sketch: Any) -> bytes:
    """The last eight bits of each permutation."""
    return (np.array(sketch.digest(), dtype=np.uint32) & 0xFF).astype(np.uint8).tobytes()


def agreement(threshold: float, *, sure: bool = False) -> float:
    """In how many permutations the sketches of a pair must agree before it is compared exactly.

    As many as at the threshold on average where the sketch must be `sure`, else four standard deviations less.
    """
    slack = 0.0 if sure else 4 * math.sqrt(PERMUTATIONS * threshold * (1 - threshold)) + 1
    return PERMUTATIONS * threshold - slack


def jaccard(sets: ShingleSets, left: Numbers, right: Numbers) -> npt.NDArray[np.float64]:
    shared = sets.shared(left, right)
    return np.asarray(shared / (sets.sizes[left] + sets.sizes[right] - shared), dtype=np.float64)
