"""How much one document may cost."""

from __future__ import annotations

from dataclasses import dataclass

_MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for files that nobody vouches for.

    Attributes:
        size: bytes of the file.
        unpacked: bytes of all parts of a packed file (Office, EPUB) together; `members`: how many parts.
        characters: of text in one document.
        cells: of one sheet's rectangle of cells.
        seconds, seconds_per_mebibyte: time for one file in the worker.
        memory: bytes that the worker may take, where the system can hold it to that.
    """

    size: int = 512 * _MEBIBYTE
    unpacked: int = 512 * _MEBIBYTE
    members: int = 20_000
    characters: int = 50_000_000
    cells: int = 5_000_000
    seconds: float = 30.0
    seconds_per_mebibyte: float = 15.0
    memory: int = 2048 * _MEBIBYTE

    def seconds_for(self, size: int) -> float:
        """Time for a file of `size` bytes."""
        return self.seconds + self.seconds_per_mebibyte * size / _MEBIBYTE
