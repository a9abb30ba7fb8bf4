"""Encodings of a frozen model: each distinct text goes through once, then heads train on the vectors alone."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from affinage.data.batches import Batch, Row, Shuffled, by_length, collate
from affinage.errors import InputError, RunError
from affinage.models.adapted import AdaptedModel
from affinage.models.digests import digest_of
from affinage.models.heads import pool
from affinage.store.arrays import ArrayCache, RowShelf, cache_key

CODE_VERSION = 1  # raise it when the same model and text would give other vectors
_SEGMENT = 2048  # texts between two writes to the cache: what an interrupted run keeps

Vectors = NDArray[np.float32]


class Encodings(NamedTuple):
    """Vectors (R, H) in the rows' order; texts that went through the model, and rows for which that was avoided."""

    vectors: Vectors
    passes_done: int
    passes_avoided: int


def encode_rows(
    model: AdaptedModel,
    rows: Sequence[Row],
    *,
    pooling: str,
    layer: int | None,
    budget: int,
    pad_id: int,
    progress: Callable[[int, int], None] | None = None,
    cache: ArrayCache | None = None,
) -> Encodings:
    """Pooled encodings of `rows`.

    Args:
        pooling: mean, last, first or max over a text's real tokens.
        layer: which block's encodings (0: the embeddings; None or -1: the last).
        budget: padded tokens in one forward pass.
        progress: called with the texts done and the texts to do.
        cache: vectors found there are not computed again; new ones are put there.

    Raises:
        InputError: the model has no such layer, or a row has no token.
        RunError: the model gives encodings that are not numbers.
    """
    found = encode_layers(
        model, rows, pooling=pooling, layers=[layer], budget=budget, pad_id=pad_id, progress=progress, cache=cache
    )
    return Encodings(found.vectors[:, 0], found.passes_done, found.passes_avoided)


def encode_layers(
    model: AdaptedModel,
    rows: Sequence[Row],
    *,
    pooling: str,
    layers: Sequence[int | None],
    budget: int,
    pad_id: int,
    progress: Callable[[int, int], None] | None = None,
    cache: ArrayCache | None = None,
) -> Encodings:
    """As `encode_rows`, for K layers out of one forward pass a text: vectors (R, K, H)."""
    chosen = [checked_layer(model, layer) for layer in layers]
    if any(len(row) == 0 for row in rows):
        raise InputError("a row has no token to encode", fix="drop the rows whose text is empty")
    ids = [hashlib.blake2b(row.tokens_T.astype("<i4").tobytes(), digest_size=16).hexdigest() for row in rows]
    first = {key: number for number, key in reversed(list(enumerate(ids)))}
    shelf = cache.rows(_space(model, pooling, chosen)) if cache else None
    vectors: dict[str, Any] = dict(shelf.find(list(first))) if shelf else {}
    missing = [number for key, number in first.items() if key not in vectors]
    fresh = _Fresh(ids, shelf)
    for numbers, encoded in _passes(model, [rows[number] for number in missing], pooling, chosen, budget, pad_id):
        fresh.add([missing[number] for number in numbers], encoded)
        if progress:
            progress(len(fresh.vectors), len(missing))
    fresh.flush()
    vectors |= fresh.vectors
    width = int(model.plain.config.get_text_config().hidden_size)
    stacked = np.stack([vectors[key] for key in ids]).astype(np.float32) if rows else np.zeros(0, np.float32)
    return Encodings(stacked.reshape(len(rows), len(chosen), width), len(missing), len(rows) - len(missing))


def checked_layer(model: AdaptedModel, layer: int | None) -> int | None:
    """`layer` counted from the bottom; None for the last one.

    Raises:
        InputError: the model has no such layer.
    """
    blocks = len(model.blocks)
    if layer is None or layer in (-1, blocks):
        return None
    if not -blocks - 1 <= layer <= blocks:
        raise InputError(f"head.layer = {layer}: the model has {blocks} blocks", fix=f"0 (embeddings) to {blocks}")
    return layer % (blocks + 1)


def fingerprint(model: AdaptedModel) -> str:
    """Digest of everything inside the network that can change what it computes: weights, configuration, adapters."""
    tensors = {**dict(model.network.named_parameters()), **dict(model.network.named_buffers())}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool_of_threads:  # hashing frees the interpreter lock
        digests = list(pool_of_threads.map(digest_of, tensors.values()))
    config = {k: v for k, v in model.plain.config.to_dict().items() if k not in ("_name_or_path", "use_cache")}
    adapters = getattr(model.network, "peft_config", None) or {}
    described = repr(sorted((name, sorted(vars(settings).items(), key=str)) for name, settings in adapters.items()))
    return cache_key(sorted(zip(tensors, digests, strict=True)), repr(sorted(config.items())), described)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Nothing is dropped out inside; afterwards every part is in the mode it was in (a frozen part may stand apart)."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


class EncodedBatches(Shuffled):
    """Batches of cached encodings. They carry no tokens; `extras` holds `encodings` (B, H) and `targets`.

    Args:
        encodings: the training rows' vectors (R, H).
        targets: class index or number of each (R,), or a 0 or 1 for each label (R, C).
        batch_rows: rows of one batch.
    """

    def __init__(self, encodings: Vectors, targets: NDArray[Any], *, batch_rows: int, epochs: float, seed: int) -> None:
        if len(encodings) != len(targets):
            raise ValueError(f"{len(encodings)} encodings for {len(targets)} targets")
        if not len(targets):
            raise ValueError("no row to learn from")
        super().__init__(len(targets), epochs=epochs, seed=seed)
        self.encodings = torch.from_numpy(np.array(encodings, dtype=np.float32))
        self.targets = target_tensor(targets)
        self.batch_rows = batch_rows

    def cut(self, order: list[int], rng: random.Random) -> list[list[int]]:
        even = np.array_split(np.array(order), -(-len(order) // self.batch_rows))  # no last batch of three rows
        return [group.tolist() for group in even]

    def make(self, numbers: list[int]) -> Batch:
        chosen = torch.tensor(numbers)
        return encoded_batch(self.encodings[chosen], self.targets[chosen])


def target_tensor(targets: NDArray[Any]) -> Tensor:
    """Class indices as they are, all other targets in float32."""
    whole = np.issubdtype(targets.dtype, np.integer)
    return torch.from_numpy(np.array(targets, dtype=np.int64 if whole else np.float32))


def encoded_batch(encodings_BH: Tensor, targets: Tensor) -> Batch:
    """A batch without tokens: `extras` holds the encodings and the targets, (B,) or (B, C)."""
    rows = len(targets)
    return Batch(
        tokens_BT=torch.zeros(rows, 0, dtype=torch.long),
        weights_BT=torch.zeros(rows, 0),
        mask_BT=torch.zeros(rows, 0, dtype=torch.bool),
        extras={"encodings": encodings_BH, "targets": targets},
    )


class _Fresh:
    """New vectors by text id, handed to the cache a segment at a time."""

    def __init__(self, ids: list[str], shelf: RowShelf | None) -> None:
        self.ids = ids
        self.shelf = shelf
        self.vectors: dict[str, Vectors] = {}
        self._waiting: list[str] = []

    def add(self, numbers: list[int], encoded: Vectors) -> None:
        if not np.isfinite(encoded).all():
            raise RunError("the model's encodings are not numbers", fix="try --set dtype=float32, or check the weights")
        for number, vector in zip(numbers, encoded, strict=True):
            self.vectors[self.ids[number]] = vector
            self._waiting.append(self.ids[number])
        if len(self._waiting) >= _SEGMENT:
            self.flush()

    def flush(self) -> None:
        if self.shelf and self._waiting:
            self.shelf.put(self._waiting, np.stack([self.vectors[key] for key in self._waiting]))
        self._waiting = []


def _passes(
    model: AdaptedModel, rows: list[Row], pooling: str, layers: list[int | None], budget: int, pad_id: int
) -> Iterator[tuple[list[int], Vectors]]:
    """Row numbers and vectors (rows, K x H) of each forward pass, longest rows first (what does not fit fails at once)."""
    lengths = [len(row) for row in rows]
    order = sorted(range(len(rows)), key=lambda number: -lengths[number])
    with evaluating(model):
        for numbers in by_length(lengths, order, budget):
            batch = collate([rows[number] for number in numbers], pad_id).to(model.device)
            with torch.inference_mode():
                states = model.hidden_layers(batch, layers)
                encoded = torch.cat([pool(state, batch.mask_BT, pooling) for state in states], dim=1)
            yield numbers, encoded.cpu().numpy()


def _space(model: AdaptedModel, pooling: str, layers: list[int | None]) -> str:
    import transformers

    number_type = [str(next(model.network.parameters()).dtype), str(model.dtype)]
    versions = [CODE_VERSION, torch.__version__, transformers.__version__]
    return cache_key(fingerprint(model), pooling, layers, number_type, model.device.type, versions)
