"""Rendered rows as one flat array of bytes, so that they lie on disk and are mapped into memory when asked for.

A pack holds the tokens of all rows end to end, their weights, a few numbers a row, and whatever else belongs to the
records they came from (ids, keys, drops). Token ids and weights are kept in the smallest type that holds them exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from affinage.data.batches import Row

Array = NDArray[Any]
Bytes = NDArray[np.uint8]

_ALIGN = 8
_META = 4  # numbers a row: where its tokens end, its record's number, learned bytes, truncated tokens


@dataclass(frozen=True, slots=True, eq=False)
class Pack(Sequence[Row]):
    """Rows of a list of records, in order; `ids` are the records' content ids.

    Attributes:
        tokens: of all rows, end to end.
        weights: beside them.
        meta_R4: per row: where its tokens end, its record's number, learned bytes, truncated tokens.
        ids: one a record.
        extra: JSON beside them, such as what was dropped.
    """

    tokens: Array
    weights: Array
    meta_R4: NDArray[np.int64]
    targets: Array
    ids: tuple[str, ...]
    extra: Any = None

    def __len__(self) -> int:
        return len(self.meta_R4)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[n] for n in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        number %= len(self)
        end, record, size, truncated = (int(value) for value in self.meta_R4[number])
        start = int(self.meta_R4[number - 1, 0]) if number else 0
        target = self.targets[number] if len(self.targets) else None
        return Row(
            np.asarray(self.tokens[start:end], np.int32),
            np.asarray(self.weights[start:end], np.float32),
            self.ids[record],
            size,
            target=float(target) if target is not None and target.ndim == 0 else target,
            truncated=truncated,
        )

    def __iter__(self) -> Iterator[Row]:
        return (self[number] for number in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row (R,)."""
        return np.diff(self.meta_R4[:, 0], prepend=0)

    @property
    def learned(self) -> NDArray[np.int64]:
        """Learned tokens of each row (R,)."""
        totals = np.concatenate([[0], np.cumsum(np.asarray(self.weights) > 0)])
        ends = self.meta_R4[:, 0]
        starts = np.concatenate([[0], ends[:-1]])
        return np.asarray(totals[ends] - totals[starts], np.int64)

    def to_bytes(self) -> Bytes:
        """The pack as one array, that `unpack` reads without copying."""
        extra = orjson.dumps({"ids": self.ids, "extra": self.extra})
        arrays = [self.tokens, self.weights, self.meta_R4, self.targets, np.frombuffer(extra, np.uint8)]
        head = orjson.dumps([[array.dtype.str, list(array.shape)] for array in arrays])
        parts = [np.array([len(head)], np.int64).view(np.uint8), np.frombuffer(head, np.uint8)]
        parts += [np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in arrays]
        return np.concatenate([_padded(part) for part in parts])


def make_pack(rows: Sequence[Row], ids: Sequence[str], extra: Any = None) -> Pack:
    """Pack `rows`, whose `record_id` is among `ids`."""
    places = {record: number for number, record in enumerate(ids)}
    lengths = np.array([len(row) for row in rows], np.int64)
    meta_R4 = np.zeros((len(rows), _META), np.int64)
    meta_R4[:, 0] = np.cumsum(lengths)
    for number, row in enumerate(rows):
        meta_R4[number, 1:] = places[row.record_id], row.learned_bytes, row.truncated
    targets = np.array([row.target for row in rows], np.float64) if rows and rows[0].target is not None else np.empty(0)
    tokens = np.concatenate([row.tokens_T for row in rows]) if rows else np.empty(0, np.int32)
    weights = np.concatenate([row.weights_T for row in rows]) if rows else np.empty(0, np.float32)
    return Pack(_narrow(tokens), _narrow_weights(weights), meta_R4, targets, tuple(ids), extra)


def unpack(raw: Bytes) -> Pack:
    """The pack of `Pack.to_bytes`; its arrays look into `raw`."""
    size = int(raw[:_ALIGN].view(np.int64)[0])
    position = _ALIGN
    head = orjson.loads(raw[position : position + size].tobytes())
    position += _rounded(size)
    arrays: list[Array] = []
    for dtype, shape in head:
        kind = np.dtype(dtype)
        length = int(np.prod(shape)) * kind.itemsize
        arrays.append(raw[position : position + length].view(kind).reshape(shape))
        position += _rounded(length)
    beside = orjson.loads(arrays[4].tobytes())
    return Pack(arrays[0], arrays[1], arrays[2], arrays[3], tuple(beside["ids"]), beside["extra"])


def _narrow(tokens: Array) -> Array:
    small = not len(tokens) or (tokens.min() >= 0 and tokens.max() < 2**16)
    return tokens.astype(np.uint16 if small else np.int32)


def _narrow_weights(weights: Array) -> Array:
    plain = bool(np.isin(weights, (0.0, 1.0)).all())
    return weights.astype(np.uint8 if plain else np.float32)


def _rounded(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _padded(part: Bytes) -> Bytes:
    return np.concatenate([part, np.zeros(_rounded(len(part)) - len(part), np.uint8)])
