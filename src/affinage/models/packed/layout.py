"""Where the real tokens of a batch lie when its rows stand one behind the other, without padding.

Shapes: B rows, T positions of the padded batch, N real tokens in all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from affinage.data.batches import Batch


@dataclass(frozen=True, slots=True)
class Run:
    """`count` rows of `length` tokens each, one behind the other from `start`; `before` lists (start, length) of what
    each of them continues, in reading order (then `count` is 1)."""

    start: int
    length: int
    count: int = 1
    before: tuple[tuple[int, int], ...] = ()

    @property
    def end(self) -> int:
        return self.start + self.length * self.count

    @property
    def pieces(self) -> Iterator[Run]:
        """What the row continues."""
        return (Run(start, length) for start, length in self.before)


@dataclass(frozen=True, slots=True)
class Layout:
    """A batch without its padding.

    Attributes:
        tokens_N: the real tokens, row behind row.
        positions_N: each token's place in its own text (a row that continues another counts on from there).
        runs: the rows as attention sees them; rows of equal length that stand together are one.
        starts_B: where each row begins.
        bounds: first token and end of each row.
        parents: the row that each row continues, -1 for none.
        shape: (B, T) of the padded batch.
        flat_N: the tokens' places in the padded batch, flattened.
    """

    tokens_N: Tensor
    positions_N: Tensor
    runs: tuple[Run, ...]
    starts_B: Tensor
    bounds: tuple[tuple[int, int], ...]
    parents: tuple[int, ...]
    shape: tuple[int, int]
    flat_N: Tensor

    @classmethod
    def of(cls, batch: Batch) -> Layout:
        """Read the rows of a right-padded batch."""
        flat_N = batch.mask_BT.reshape(-1).nonzero()[:, 0]
        lengths_B = batch.mask_BT.sum(1)
        starts_B = lengths_B.cumsum(0) - lengths_B
        columns_N = flat_N % batch.mask_BT.shape[1]
        lengths, starts = lengths_B.tolist(), starts_B.tolist()
        continues = batch.continues_B.tolist() if batch.continues_B is not None else [-1] * len(lengths)
        before = _before(lengths, starts, continues)
        offsets_B = torch.tensor([sum(length for _, length in pieces) for pieces in before])
        return cls(
            tokens_N=batch.tokens_BT.reshape(-1)[flat_N],
            positions_N=columns_N + offsets_B.repeat_interleave(lengths_B),
            runs=_runs(lengths, starts, before),
            starts_B=starts_B,
            bounds=tuple((start, start + length) for start, length in zip(starts, lengths, strict=True)),
            parents=tuple(continues),
            shape=(batch.mask_BT.shape[0], batch.mask_BT.shape[1]),
            flat_N=flat_N,
        )

    @property
    def longest(self) -> int:
        """Tokens of the longest text."""
        return int(self.positions_N.max()) + 1

    def padded(self, values_NH: Tensor) -> Tensor:
        """(N, H) -> (B, T, H), zeros where nothing stands."""
        rows, columns = self.shape
        flat = values_NH.new_zeros(rows * columns, values_NH.shape[1])
        return flat.index_copy(0, self.flat_N, values_NH).view(rows, columns, -1)


def _before(lengths: list[int], starts: list[int], continues: list[int]) -> list[tuple[tuple[int, int], ...]]:
    """The pieces that each row continues, from its text's beginning on. A row continues an earlier one."""
    found: list[tuple[tuple[int, int], ...]] = []
    for number, parent in enumerate(continues):
        if parent >= number:
            raise ValueError(f"row {number} continues row {parent}, which does not stand before it")
        found.append(() if parent < 0 else (*found[parent], (starts[parent], lengths[parent])))
    return found


def _runs(lengths: list[int], starts: list[int], before: list[tuple[tuple[int, int], ...]]) -> tuple[Run, ...]:
    runs: list[Run] = []
    for length, start, pieces in zip(lengths, starts, before, strict=True):
        if not length:
            continue
        last = runs[-1] if runs else None
        if last and last.length == length and not pieces and not last.before:
            runs[-1] = Run(last.start, length, last.count + 1)
        else:
            runs.append(Run(start, length, 1, pieces))
    return tuple(runs)
