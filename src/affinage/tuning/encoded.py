"""The encodings of a run's records at a few layers of the network; a text met before is not run again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from affinage.models.adapted import AdaptedModel
from affinage.models.encodings import Vectors, encode_layers
from affinage.store.arrays import ArrayCache
from affinage.training.reporting import Reporter
from affinage.tuning.prepared import Prepared

DEPTHS = (0.4, 0.6, 0.8)  # of the blocks: layers to choose from beside the last
ENOUGH = 20  # validation rows that can choose a layer


class EncodedRecords:
    """Vectors by record number, from memory, else from the cache (while the network is frozen), else from the network.

    Args:
        budget: padded tokens at a time.

    Attributes:
        layers: those that are kept, the last one last (None: the last block).
        place: which of `layers` is handed out.
        passes: of texts through the network, done and avoided.
    """

    def __init__(self, prepared: Prepared, reporter: Reporter, *, frozen: bool, budget: int) -> None:
        self.layers = _candidates(prepared, frozen=frozen)
        self.place = len(self.layers) - 1
        self.passes = {"done": 0, "avoided": 0}
        self._prepared = prepared
        self._reporter = reporter
        self._budget = budget
        self._cache = ArrayCache() if frozen else None
        self._vectors: dict[int, Any] = {}

    @property
    def layer(self) -> int | None:
        """The layer whose encodings are handed out."""
        return self.layers[self.place]

    def of(self, model: AdaptedModel, numbers: Sequence[int]) -> Vectors:
        """Encodings of these records (R, H) at the chosen layer."""
        missing = [number for number in numbers if number not in self._vectors]
        if missing:
            with self._reporter.stage("encoding", len(missing)) as advance:
                found = encode_layers(
                    model, self._prepared.rows_at(missing), pooling=self._prepared.recipe.head.pooling or "mean",
                    layers=self.layers, budget=self._budget, pad_id=self._prepared.renderer.pad_id,
                    progress=lambda done, total: advance(done), cache=self._cache,
                )  # fmt: skip
            self.passes["done"] += found.passes_done
            self.passes["avoided"] += found.passes_avoided
            self._vectors.update(zip(missing, found.vectors, strict=True))
        self.passes["avoided"] += len(numbers) - len(missing)
        return np.stack([self._vectors[number][self.place] for number in numbers])

    def forget(self) -> None:
        """The network moves from here on."""
        self._vectors.clear()


def _candidates(prepared: Prepared, *, frozen: bool) -> list[int | None]:
    """Layers that may feed the head, the last one last: the asked for, or a few to choose from by measurement."""
    asked, blocks = prepared.recipe.head.layer, prepared.base.blocks
    if asked is not None or not frozen or len(prepared.sides["validation"]) < ENOUGH:
        return [asked]
    return [*sorted({round(share * blocks) for share in DEPTHS} - {0, blocks}), None]
