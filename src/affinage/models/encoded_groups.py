"""Groups of completions as a frozen network sees them: hidden states that are computed once, then a head alone trains."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from affinage.data.batches import Batch, Shuffled
from affinage.data.groups import GROUP, RANK
from affinage.models.encodings import Vectors, encoded_batch


class EncodedGroups(Shuffled):
    """Steps of a frozen network's hidden states. Batches carry no tokens; `extras` holds `encodings` (B, H).

    Args:
        encodings: of each group those of its completions (K, H).
        ranks: of each group the ranks of its completions (K,).
        batch_rows: groups of one step.
    """

    def __init__(
        self,
        encodings: Sequence[Vectors],
        ranks: Sequence[Sequence[int]],
        *,
        batch_rows: int,
        epochs: float,
        seed: int,
    ) -> None:
        super().__init__(len(encodings), epochs=epochs, seed=seed)
        self.encodings = [torch.from_numpy(np.array(vectors, np.float32)) for vectors in encodings]
        self.ranks = [torch.tensor(list(own)) for own in ranks]
        self.batch_rows = batch_rows
        self._first = np.cumsum([0, *map(len, ranks)]).tolist()

    def cut(self, order: list[int], rng: random.Random) -> list[list[int]]:
        even = np.array_split(np.array(order), -(-len(order) // self.batch_rows))  # no last step of three groups
        return [group.tolist() for group in even]

    def make(self, numbers: list[int]) -> Batch:
        ranks_B = torch.cat([self.ranks[number] for number in numbers])
        groups_B = torch.tensor([place for place, number in enumerate(numbers) for _ in self.ranks[number]])
        batch = encoded_batch(torch.cat([self.encodings[number] for number in numbers]), ranks_B)
        batch.extras = {"encodings": batch.extras["encodings"], GROUP: groups_B, RANK: ranks_B}
        return batch

    def served(self) -> Iterator[int]:
        """Numbers of the completions that batches have carried so far, as often as they did."""
        for number in super().served():
            yield from range(self._first[number], self._first[number + 1])
