"""How many operations a job needs at least, counted from the shapes alone: the same number for every system.

A product of (N, K) and (K, M) takes 2 NKM. The backward pass costs a product for the gradient of the inputs from the
lowest block that trains on, and one for the gradient of the weights where they train. What no gradient and no answer
needs is not counted: the head at positions that nothing is learned from, the last block's part behind its keys and
values there, frozen blocks when a text comes again, a prompt when its next completion comes. Attention is counted for
the positions that a token may see. Normalisations, softmax, rotations and the optimizer are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jobs import CLASSES, Shape


@dataclass(frozen=True, slots=True)
class Piece:
    """New tokens behind `before` others. Hidden states are asked for at the last `wanted`, the head at `learned`."""

    tokens: int
    before: int = 0
    wanted: int = 0
    learned: int = 0

    @property
    def pairs(self) -> int:
        """Which token sees which: all of them."""
        return self._pairs(self.tokens)

    @property
    def wanted_pairs(self) -> int:
        """Those of the last `wanted` tokens."""
        return self._pairs(self.tokens) - self._pairs(self.tokens - self.wanted)

    def _pairs(self, tokens: int) -> int:
        return tokens * self.before + tokens * (tokens + 1) // 2


@dataclass(frozen=True, slots=True)
class Count:
    """Operations: `once` for each text, whatever the number of passes, and `again` in each pass."""

    once: float = 0.0
    again: float = 0.0

    def __add__(self, other: Count) -> Count:
        return Count(self.once + other.once, self.again + other.again)

    def over(self, epochs: int) -> float:
        """Of so many passes."""
        return self.once + epochs * self.again


def training(shape: Shape, pieces: Iterable[Piece], train: str, rank: int) -> Count:
    """Of one pass over these texts: full, last:N, lora or head."""
    lowest = {"head": shape.blocks, "full": 0, "lora": 0}.get(train)
    if lowest is None:
        lowest = shape.blocks - int(train.removeprefix("last:"))
    weights = train == "full" or train.startswith("last")
    total = Count()
    for piece in pieces:
        for number in range(shape.blocks):
            last = number == shape.blocks - 1
            forward = _forward(shape, piece, last=last)
            if number < lowest:
                total += Count(once=forward)
                continue
            adapters = _adapters(shape, piece, rank, last=last) if train == "lora" else 0.0
            enters = number > lowest or weights  # the norm in front of the lowest block trains as well
            back = _backward(shape, piece, last=last, weights=weights, enters=enters)
            total += Count(again=forward + back + 3 * adapters)
        head = 2.0 * piece.learned * shape.vocabulary * shape.width
        total += Count(again=head * (3 if train == "full" else 2))
    return total


def reading(shape: Shape, pieces: Iterable[Piece]) -> float:
    """Of one forward pass."""
    found = 0.0
    for piece in pieces:
        found += sum(_forward(shape, piece, last=number == shape.blocks - 1) for number in range(shape.blocks))
        found += 2.0 * piece.learned * shape.vocabulary * shape.width
    return found


def heading(shape: Shape, rows: int) -> float:
    """Of one pass of a linear classifier over encodings."""
    return 4.0 * rows * shape.width * CLASSES


def writing(shape: Shape, prompts: Iterable[int], new: int) -> float:
    """Of reading each prompt and writing `new` tokens after it; the last one is not read."""
    return sum(
        reading(shape, [Piece(prompt, 0, 1, 1), *(Piece(1, prompt + n, 1, 1) for n in range(new - 1))])
        for prompt in prompts
    )


def _matrices(shape: Shape) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of a block's matrices."""
    keys = shape.key_heads * shape.head_width
    up = (shape.width, shape.inner)
    return {
        "query": (shape.width, shape.width), "key": (shape.width, keys), "value": (shape.width, keys),
        "out": (shape.width, shape.width), "gate": up, "up": up, "down": (shape.inner, shape.width),
    }  # fmt: skip


def _products(shape: Shape, piece: Piece, *, last: bool) -> dict[str, float]:
    """Operations of each matrix: in the last block keys and values are needed of every token, the rest of few."""
    rows = {name: piece.wanted if last and name not in ("key", "value") else piece.tokens for name in _matrices(shape)}
    return {name: 2.0 * rows[name] * a * b for name, (a, b) in _matrices(shape).items()}


def _attention(shape: Shape, piece: Piece, *, last: bool) -> float:
    """Scores and the sum of values."""
    return 4.0 * (piece.wanted_pairs if last else piece.pairs) * shape.width


def _forward(shape: Shape, piece: Piece, *, last: bool) -> float:
    return sum(_products(shape, piece, last=last).values()) + _attention(shape, piece, last=last)


def _backward(shape: Shape, piece: Piece, *, last: bool, weights: bool, enters: bool) -> float:
    """`enters`: whether the gradient is needed of what enters this block."""
    products = _products(shape, piece, last=last)
    inputs = sum(value for name, value in products.items() if enters or name not in ("query", "key", "value"))
    return inputs + weights * sum(products.values()) + 2 * _attention(shape, piece, last=last)


def _adapters(shape: Shape, piece: Piece, rank: int, *, last: bool) -> float:
    """Two thin products beside each matrix."""
    products = _products(shape, piece, last=last)
    return sum(
        value * rank * (1 / a + 1 / b)
        for value, (a, b) in zip(products.values(), _matrices(shape).values(), strict=True)
    )
