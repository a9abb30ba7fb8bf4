"""Several completions of one prompt as one unit: they stay in one micro-batch, and their prompt stands there once.

Shapes: B rows of a batch, K completions of a group.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from affinage.data.batches import Batch, Row, Shuffled, by_length, collate

GROUP = "group"  # extra: which group of the batch a row is a completion of; -1 for a prompt
RANK = "rank"  # extra: 1 the best of its group, equal ranks are ties; 0 for a prompt


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Completions of one prompt, each a whole row that begins with it.

    `values`: numbers of each completion (K,) by name, which the batch carries in its extras (its rank, what a
    reference thought of it ...).
    """

    rows: tuple[Row, ...]
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def shared(self) -> int:
        """How many tokens at the beginning are the same in all rows, with nothing learned from them. Each row keeps at
        least one of its own.
        """
        if len(self.rows) < 2:
            return 0
        room = min(_unlearned(row) for row in self.rows)
        first, *others = (row.tokens_T[:room] for row in self.rows)
        same_KT = np.array([other == first for other in others])
        apart = np.flatnonzero(~same_KT.all(axis=0))
        return int(apart[0]) if len(apart) else room

    @property
    def tokens(self) -> int:
        """Tokens of the group with its prompt once."""
        return sum(map(len, self.rows)) - (len(self.rows) - 1) * self.shared


def collate_groups(groups: Sequence[Group], pad_id: int) -> Batch:
    """The batch of `groups`: of each its prompt, then its completions, which continue it.

    Extras (B,): `group`, and what the groups carry by name (0 for a prompt).
    """
    rows: list[Row] = []
    continues: list[int] = []
    places: list[int] = []  # of each completion, in order
    for group in groups:
        shared, parent = group.shared, -1
        if shared:
            parent = len(rows)
            rows.append(_cut(group.rows[0], slice(0, shared)))
            continues.append(-1)
        for row in group.rows:
            places.append(len(rows))
            rows.append(_cut(row, slice(shared, None)))
            continues.append(parent)
    batch = collate(rows, pad_id)
    numbers = [number for number, group in enumerate(groups) for _ in group.rows]
    extras = {GROUP: _spread(numbers, places, len(rows), -1)}
    for name in groups[0].values:
        values = [value for group in groups for value in group.values[name]]
        extras[name] = _spread(values, places, len(rows), 0)
    some = any(parent >= 0 for parent in continues)
    return replace(batch, extras=extras, continues_B=torch.tensor(continues) if some else None)


class GroupBatches(Shuffled):
    """Whole groups, those of similar size together: at most `budget` tokens in a step and `micro` in a micro-batch.

    A group that is larger stands alone. Tokens are counted with each prompt once.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        *,
        budget: int,
        pad_id: int,
        epochs: float,
        seed: int,
        micro: int | None = None,
    ) -> None:
        super().__init__(len(groups), epochs=epochs, seed=seed)
        self.members = groups
        self.budget = budget
        self.micro = micro or budget
        self.pad_id = pad_id
        self._sizes = [group.tokens for group in groups]
        self._first = np.cumsum([0, *(len(group.rows) for group in groups)]).tolist()

    @property
    def rows(self) -> list[Row]:
        """All completions, whole, group by group."""
        return [row for group in self.members for row in group.rows]

    def cut(self, order: list[int], rng: random.Random) -> list[list[int]]:
        groups = by_length(self._sizes, order, self.budget)
        rng.shuffle(groups)
        return groups

    def split(self, numbers: list[int]) -> list[list[int]]:
        return by_length(self._sizes, numbers, self.micro)

    def make(self, numbers: list[int]) -> Batch:
        return collate_groups([self.members[number] for number in numbers], self.pad_id)

    def served(self) -> Iterator[int]:
        """Numbers of the completions (in `rows`) that batches have carried so far, as often as they did."""
        for number in super().served():
            yield from range(self._first[number], self._first[number + 1])


def in_order(groups: Sequence[Group], budget: int) -> list[list[int]]:
    """Numbers of the groups of each batch when all are met once, the largest first (what does not fit fails at once)."""
    sizes = [group.tokens for group in groups]
    return by_length(sizes, sorted(range(len(sizes)), key=lambda number: -sizes[number]), budget)


def _unlearned(row: Row) -> int:
    """Tokens before the first that is learned from; never all of them."""
    learned = np.flatnonzero(row.weights_T)
    return min(int(learned[0]) if len(learned) else len(row), len(row) - 1)


def _cut(row: Row, piece: slice) -> Row:
    return replace(row, tokens_T=row.tokens_T[piece], weights_T=row.weights_T[piece], target=None)


def _spread(values: Sequence[float], places: Sequence[int], size: int, other: float) -> torch.Tensor:
    whole = all(isinstance(value, int) for value in values)
    found_B: NDArray[np.float64] = np.full(size, other, dtype=np.float64)
    found_B[list(places)] = values
    return torch.from_numpy(found_B).to(torch.long if whole else torch.float32)
