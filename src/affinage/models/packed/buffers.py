"""Keys and values of rows that grow by one token at a time, and attention of their newest tokens.

All rows write into the same column: a shorter prompt begins further right, and what stands left of it is masked. The
numbers of one place in a head lie side by side along the columns, so that few queries read memory in its order.

Shapes: B rows, K key and value heads, G query heads of each, D width of a head, T columns that are filled, N prompt
tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from affinage.models.packed.fixed import paired
from affinage.models.packed.layout import Layout

GROWTH = 32  # columns that are added at least; few, because columns that are not filled yet are read past


class Buffers:
    """Keys and values of each block, (B x K, D, T) both, with room for more columns and perhaps more rows than are filled.

    Args:
        blocks: how many blocks.
        lengths: tokens of each row's prompt.
        heads: key heads.
        width: of a head.
    """

    def __init__(self, blocks: int, lengths: Sequence[int], heads: int, width: int) -> None:
        self._heads = heads
        self._rows, self._filled = len(lengths) * heads, max(lengths)
        shape = self._rows, width, self._filled + GROWTH
        self._keys, self._values = ([torch.zeros(shape) for _ in range(blocks)] for _ in range(2))
        before_B = self._filled - torch.tensor(lengths)
        hidden_BT = torch.arange(int(before_B.max())) < before_B[:, None]
        mask = torch.zeros(hidden_BT.shape).masked_fill_(hidden_BT, -torch.inf)
        self._mask = mask.repeat_interleave(heads, 0)[:, None] if hidden_BT.numel() else None

    def fill(self, block: int, rows: list[int], layout: Layout, key_NKD: Tensor, value_NKD: Tensor) -> None:
        """Take the keys and values of the prompts of `rows`, which stand in `layout` in this order."""
        for part, new_NKD in ((self._keys[block], paired(key_NKD)), (self._values[block], value_NKD)):
            by_row, done = self._by_row(part), 0
            for run in layout.runs:
                columns = (
                    new_NKD[run.start : run.end].reshape(run.count, run.length, *new_NKD.shape[1:]).permute(0, 2, 3, 1)
                )
                by_row[rows[done : done + run.count], :, :, self._filled - run.length : self._filled] = columns
                done += run.count

    def open_column(self) -> None:
        """Begin the next column, with room made for it."""
        if self._filled == self._keys[0].shape[2]:
            more = max(GROWTH, self._filled // 8)
            self._keys = [F.pad(part[: self._rows], (0, more)) for part in self._keys]
            self._values = [F.pad(part[: self._rows], (0, more)) for part in self._values]
        self._filled += 1

    def attend(self, block: int, heads: Tensor) -> Tensor:
        """What the newest tokens see (B x K, D, G), from their queries, key and value (B x K, G + 2, D)."""
        keys, values = (part[block][: self._rows, :, : self._filled] for part in (self._keys, self._values))
        keys[:, :, -1], values[:, :, -1] = heads[:, -2], heads[:, -1]
        scores = torch.bmm(heads[:, :-2], keys)
        if self._mask is not None:
            scores[:, :, : self._mask.shape[2]].add_(self._mask)
        return torch.bmm(values, scores.softmax(-1).transpose(1, 2))

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order. Where they only close gaps few are moved; otherwise all are copied."""
        moved = {place: row for place, row in enumerate(rows) if place != row}
        self._rows = len(rows) * self._heads
        if all(row >= len(rows) for row in moved.values()):
            take = partial(self._closed, places=list(moved), rows=list(moved.values()))
        else:
            take = partial(self._copied, index=torch.tensor(list(rows)))
        self._keys, self._values = ([take(part) for part in parts] for parts in (self._keys, self._values))
        self._mask = None if self._mask is None else take(self._mask)[: self._rows]

    def _closed(self, part: Tensor, places: list[int], rows: list[int]) -> Tensor:
        if places:
            self._by_row(part)[places] = self._by_row(part)[rows]
        return part

    def _copied(self, part: Tensor, index: Tensor) -> Tensor:
        return self._by_row(part).index_select(0, index).flatten(0, 1)

    def _by_row(self, part: Tensor) -> Tensor:
        return part.view(-1, self._heads, *part.shape[1:])
