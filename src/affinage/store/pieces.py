"""Arrays of one width and many lengths, by id: a sequence's rows lie one behind the other in large memory-mapped files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from affinage.store.arrays import Array, ArrayCache, cache_key

FILE_BYTES = 64 << 20  # of fresh pieces that are held before they are written


@dataclass(slots=True)
class PieceShelf:
    """Pieces (L, H) by id. Fresh ones can be found at once; they are on disk after `flush`.

    Args:
        cache: where the files lie; None: everything is held in memory.
        space: the key of all these pieces, as `cache_key` gives it.
    """

    cache: ArrayCache | None
    space: str
    _places: dict[str, tuple[Array, int, int]] = field(default_factory=dict)
    _fresh: dict[str, Array] = field(default_factory=dict)
    _bytes: int = 0

    def __post_init__(self) -> None:
        for array, ids in self.cache.files(self.space) if self.cache else ():
            self._place(array, ids)

    def __contains__(self, key: str) -> bool:
        return key in self._places or key in self._fresh

    def get(self, key: str) -> Array:
        """The piece of that id.

        Raises:
            KeyError: there is none.
        """
        if key in self._fresh:
            return self._fresh[key]
        array, start, length = self._places[key]
        piece: Array = array[start : start + length]
        return piece

    def put(self, key: str, piece: Array) -> None:
        """Keep a piece; it reaches the disk with many others."""
        self._fresh[key] = piece
        self._bytes += piece.nbytes
        if self._bytes >= FILE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is fresh, and read it from there afterwards."""
        if self.cache is None or not self._fresh:
            return
        keys, pieces = list(self._fresh), list(self._fresh.values())
        ids = [f"{key}/{len(piece)}" for key, piece in zip(keys, pieces, strict=True)]
        written = self.cache.add(self.space, cache_key(ids), np.concatenate(pieces), ids)
        if written is None:
            return  # the disk refused, which is counted: they stay in memory
        self._place(*written)
        self._fresh, self._bytes = {}, 0

    def _place(self, array: Array, ids: Iterable[str]) -> None:
        start = 0
        for one in ids:
            key, _, length = one.partition("/")
            self._places[key] = (array, start, int(length))
            start += int(length)
