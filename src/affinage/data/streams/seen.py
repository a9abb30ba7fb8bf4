"""Which records were met before, at eight bytes a record."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]


class SeenIds:
    """A growing set of 64-bit ids in sorted arrays, each at least twice as long as the next: 8 bytes an id."""

    def __init__(self) -> None:
        self._levels: list[Hashes] = []

    def add(self, ids: Hashes) -> NDArray[np.bool_]:
        """Which of the distinct `ids` are new; they are known from now on."""
        fresh = np.ones(len(ids), bool)
        for level in self._levels:
            places = np.minimum(np.searchsorted(level, ids), len(level) - 1)
            fresh &= level[places] != ids
        if fresh.any():
            self._levels.append(np.sort(ids[fresh]))
        while len(self._levels) > 1 and len(self._levels[-2]) < 2 * len(self._levels[-1]):
            last = self._levels.pop()
            self._levels[-1] = np.sort(np.concatenate([self._levels[-1], last]))
        return fresh
