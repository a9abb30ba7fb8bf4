"""The frozen bottom of a model, run once for each text: what enters the lowest block that trains is kept on disk.

A row goes through the frozen blocks when it is first met; each later pass, validation and run starts above them.

Shapes: N real tokens, H width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from affinage.models.digests import digest_of
from affinage.models.packed.layout import Layout
from affinage.models.packed.stack import Stack
from affinage.store.arrays import ArrayCache, cache_key
from affinage.store.pieces import PieceShelf

CODE_VERSION = 1  # raise it when the same weights and tokens would give another stream


class FrozenBottom:
    """The residual stream under block `depth`, by row.

    Args:
        embed: token ids (N,) to embeddings (N, H).
        frozen: the tensors that the stream depends on; they do not change while this object lives.
        settings: what else it depends on, as text.
        depth: the lowest block that trains.
        cache: where streams are kept; None: in memory.
    """

    def __init__(
        self,
        embed: Callable[[Tensor], Tensor],
        frozen: list[Tensor],
        settings: str,
        depth: int,
        cache: ArrayCache | None,
    ) -> None:
        self.depth = depth
        self.passes_done = 0
        self.passes_avoided = 0
        self._embed = embed
        versions = [CODE_VERSION, torch.__version__]
        self._shelf = PieceShelf(cache, cache_key([digest_of(tensor) for tensor in frozen], settings, depth, versions))

    @torch.no_grad()
    def entering(self, stack: Stack, layout: Layout) -> Tensor:
        """The stream (N, H) that enters block `depth`."""
        keys, bounds = row_keys(layout), layout.bounds
        missing = [number for number, key in enumerate(keys) if key not in self._shelf]
        self.passes_done += len(missing)
        self.passes_avoided += len(keys) - len(missing)
        if missing:
            (stream_NH,) = stack.states(self._embed(layout.tokens_N), layout, [self.depth])
            for number in missing:
                start, end = bounds[number]
                self._shelf.put(keys[number], stream_NH[start:end].numpy().copy())
            if len(missing) == len(keys):
                return stream_NH
        return torch.from_numpy(np.concatenate([self._shelf.get(key) for key in keys]))

    def flush(self) -> None:
        """Write what was computed since the last time: a run that resumes finds the very same numbers."""
        self._shelf.flush()


def row_keys(layout: Layout) -> list[str]:
    """A key for each row: its tokens, and those of what it continues."""
    tokens = layout.tokens_N.to(torch.int32).numpy()
    keys: list[str] = []
    for (start, end), parent in zip(layout.bounds, layout.parents, strict=True):
        before = keys[parent] if parent >= 0 else ""
        keys.append(hashlib.blake2b(before.encode() + tokens[start:end].tobytes(), digest_size=16).hexdigest())
    return keys


def stream_bytes(tokens: int, width: int) -> int:
    """What the streams of so many tokens take, in bytes."""
    return 4 * tokens * width
