"""Rows of token ids, and the batches they form.

Shapes: B rows of a batch, T positions (right-padded). `weights_BT[b, t]` belongs to *predicting* token t from the
tokens before it, so the first token of a row always weighs 0.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One rendered sequence: what the model reads, and how much each token is learned from.

    `learned_bytes` is the UTF-8 length of the text that is learned from (for bits per byte), `target` a class index,
    a number, or a 0 or 1 for each label (C,) for objectives with a head, `truncated` the tokens cut off by consent.
    """

    tokens_T: NDArray[np.int32]
    weights_T: NDArray[np.float32]
    record_id: str = ""
    learned_bytes: int = 0
    target: float | NDArray[np.float32] | None = None
    truncated: int = 0

    def __len__(self) -> int:
        return len(self.tokens_T)

    @property
    def learned(self) -> int:
        """Tokens that are learned from."""
        return int(np.count_nonzero(self.weights_T))


@dataclass(slots=True)
class Batch:
    """What one forward pass sees. `extras` holds what the objective needs besides (targets, cached encodings ...).

    `continues_B`: the number of the row that each row continues (a completion its prompt), -1 for none; None: no row
    does. What several rows continue stands in the batch once.
    """

    tokens_BT: Tensor
    weights_BT: Tensor
    mask_BT: Tensor
    extras: dict[str, Tensor] = field(default_factory=dict)
    continues_B: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return replace(
            self,
            tokens_BT=self.tokens_BT.to(device),
            weights_BT=self.weights_BT.to(device),
            mask_BT=self.mask_BT.to(device),
            extras={name: tensor.to(device) for name, tensor in self.extras.items()},
            continues_B=None if self.continues_B is None else self.continues_B.to(device),
        )

    def predictions(self) -> Predictions:
        """The tokens that are learned from, and the positions whose hidden states predict them."""
        rows, columns = (self.weights_BT > 0).nonzero(as_tuple=True)
        found = Predictions(rows, columns - 1, self.tokens_BT[rows, columns], self.weights_BT[rows, columns], rows)
        begins = columns == 0
        if self.continues_B is None or not bool(begins.any()):
            return found
        ends_B = self.mask_BT.sum(1) - 1
        parents = self.continues_B[rows]
        return found._replace(
            rows_N=torch.where(begins, parents, rows),
            columns_N=torch.where(begins, ends_B[parents.clamp(min=0)], columns - 1),
        )

    def unshared(self) -> tuple[Batch, Tensor]:
        """The batch with every row whole: each begins with what it continues. Beside it how far each row moved (B,).

        The same work without what sharing saves, for models that cannot share.
        """
        if self.continues_B is None:
            return self, self.tokens_BT.new_zeros(len(self.tokens_BT))
        whole: list[tuple[Tensor, Tensor]] = []
        moved: list[int] = []
        for row, parent in enumerate(self.continues_B.tolist()):
            tokens, weights = self.tokens_BT[row][self.mask_BT[row]], self.weights_BT[row][self.mask_BT[row]]
            before = whole[parent] if parent >= 0 else (tokens[:0], weights[:0])
            moved.append(len(before[0]))
            whole.append((torch.cat([before[0], tokens]), torch.cat([torch.zeros_like(before[1]), weights])))
        pad = torch.nn.utils.rnn.pad_sequence
        mask_BT = pad([torch.ones_like(tokens, dtype=torch.bool) for tokens, _ in whole], batch_first=True)
        tokens_BT = pad([tokens for tokens, _ in whole], batch_first=True)
        weights_BT = pad([weights for _, weights in whole], batch_first=True)
        return Batch(tokens_BT, weights_BT, mask_BT, self.extras), torch.tensor(moved, device=tokens_BT.device)

    @property
    def tokens(self) -> int:
        """Real tokens, padding left out."""
        return int(self.mask_BT.sum())

    @property
    def learned(self) -> int:
        """Tokens that are learned from."""
        return int((self.weights_BT > 0).sum())


class Predictions(NamedTuple):
    """Learned tokens (N): which hidden state predicts each (row, column), the token, its weight, and its own row."""

    rows_N: Tensor
    columns_N: Tensor
    targets_N: Tensor
    weights_N: Tensor
    owners_N: Tensor


def collate(rows: Sequence[Row], pad_id: int) -> Batch:
    """Right-padded batch of `rows`; targets, where rows have them, become `extras["targets"]`, (B,) or (B, C)."""
    width = max(len(row) for row in rows)
    tokens_BT = torch.full((len(rows), width), pad_id, dtype=torch.long)
    weights_BT = torch.zeros(len(rows), width)
    mask_BT = torch.zeros(len(rows), width, dtype=torch.bool)
    for b, row in enumerate(rows):
        tokens_BT[b, : len(row)] = torch.from_numpy(row.tokens_T.astype(np.int64))
        weights_BT[b, : len(row)] = torch.from_numpy(row.weights_T)
        mask_BT[b, : len(row)] = True
    extras = {}
    if rows[0].target is not None:
        extras["targets"] = torch.from_numpy(np.array([row.target for row in rows], np.float32))
    return Batch(tokens_BT, weights_BT, mask_BT, extras)


def by_length(lengths: Sequence[int], order: Sequence[int], budget: int) -> list[list[int]]:
    """Groups of row numbers whose padded size stays within `budget` tokens (a longer row stands alone).

    `order` is cut in pieces that are large against a batch, and sorting happens inside a piece: little padding, yet
    still a shuffle.
    """
    groups: list[list[int]] = []
    mean = max(1, sum(lengths) // max(1, len(lengths)))
    piece = max(64, 32 * max(1, budget // mean))
    for start in range(0, len(order), piece):
        group: list[int] = []
        for row in sorted(order[start : start + piece], key=lambda number: -lengths[number]):
            if group and lengths[group[0]] * (len(group) + 1) > budget:
                groups.append(group)
                group = []
            group.append(row)
        if group:
            groups.append(group)
    return groups


def draws(numbers: Sequence[int], times: float, rng: random.Random) -> list[int]:
    """Each of `numbers` as often as `times` says: its whole part, and once more with the rest as probability."""
    whole, rest = divmod(times, 1)
    drawn = [number for number in numbers for _ in range(int(whole))]
    return drawn + [number for number in numbers if rest and rng.random() < rest]


class Shuffled(ABC):
    """The optimizer steps of several shuffled epochs, each a list of micro-batches; the position can be saved and
    restored between any two steps.

    Which rows share a step never depends on how the step is split to fit the memory.

    Args:
        count: rows of one epoch.
        epochs: passes over the rows; a fraction ends inside the last pass.
        seed: epoch e is shuffled with (seed, e), so a resumed run meets the same rows in the same order.
    """

    def __init__(self, count: int, *, epochs: float, seed: int) -> None:
        self.count = count
        self.epochs = epochs
        self.seed = seed
        self.epoch = 0
        self.position = 0

    def draw(self, rng: random.Random) -> list[int]:
        """The row numbers of one epoch, before they are shuffled: each row once."""
        return list(range(self.count))

    @abstractmethod
    def cut(self, order: list[int], rng: random.Random) -> list[list[int]]:
        """The row numbers of each optimizer step, from one epoch's shuffled `order`."""

    def split(self, numbers: list[int]) -> list[list[int]]:
        """The row numbers of each micro-batch of a step."""
        return [numbers]

    @abstractmethod
    def make(self, numbers: list[int]) -> Batch:
        """The micro-batch of these rows."""

    def groups(self, epoch: int) -> list[list[int]]:
        """The row numbers of each step of one epoch, in order."""
        rng = random.Random(f"{self.seed}-{epoch}")
        order = self.draw(rng)
        rng.shuffle(order)
        groups = self.cut(order, rng)
        share = min(1.0, self.epochs - epoch)
        return groups[: max(1, round(share * len(groups)))]

    def __iter__(self) -> Iterator[list[Batch]]:
        while self.epoch < self.epochs:
            groups = self.groups(self.epoch)
            while self.position < len(groups):
                numbers = groups[self.position]
                self.position += 1
                yield [self.make(part) for part in self.split(numbers)]
            self.epoch += 1
            self.position = 0

    def __len__(self) -> int:
        """Optimizer steps in the whole run."""
        return sum(len(self.groups(epoch)) for epoch in range(math.ceil(self.epochs)))

    def served(self) -> Iterator[int]:
        """Numbers of the rows that batches have carried so far, as often as they did."""
        for epoch in range(min(self.epoch + 1, math.ceil(self.epochs))):
            groups = self.groups(epoch)
            for group in groups if epoch < self.epoch else groups[: self.position]:
                yield from group

    def seen(self) -> set[int]:
        """Numbers of the rows that a batch has carried so far."""
        return set(self.served())

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.position = int(state["epoch"]), int(state["position"])


class Batches(Shuffled):
    """Rows of similar length together, at most `budget` padded tokens in a step and `micro` in a micro-batch.

    `times`: how often each row is drawn in a pass, on average (default: once); mixed and replayed sources differ.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        *,
        budget: int,
        pad_id: int,
        epochs: float,
        seed: int,
        micro: int | None = None,
        times: Sequence[float] | None = None,
    ) -> None:
        super().__init__(len(rows), epochs=epochs, seed=seed)
        self.rows = rows
        self.times = times
        self.budget = budget
        self.micro = micro or budget
        self.pad_id = pad_id
        self._lengths = [len(row) for row in rows]

    def draw(self, rng: random.Random) -> list[int]:
        if self.times is None:
            return super().draw(rng)
        return [drawn for number, times in enumerate(self.times) for drawn in draws((number,), times, rng)]

    def cut(self, order: list[int], rng: random.Random) -> list[list[int]]:
        groups = by_length(self._lengths, order, self.budget)
        rng.shuffle(groups)
        return groups

    def split(self, numbers: list[int]) -> list[list[int]]:
        return by_length(self._lengths, numbers, self.micro)

    def make(self, numbers: list[int]) -> Batch:
        return collate([self.rows[number] for number in numbers], self.pad_id)
