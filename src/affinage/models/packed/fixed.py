"""A network's weights for many products with few rows: folded together and laid out once.

What stands in front of a matrix (the weight of a normalisation, the scale of the scores, a LoRA beside it) becomes part
of it; matrices with the same input become one.

Shapes: N rows, H width (what is summed over), M columns, Q query heads, K key heads (Q = K x G), D width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from affinage import products
from affinage.models.packed.weights import Block, Matrix

_ROWS = 16  # what the layout is made for; measured, it is the same one for 2 rows and for 64


@dataclass(frozen=True, slots=True)
class Fixed:
    """x @ weight.T + bias. `operator` is that of the library which the weight was laid out for, None: torch's own."""

    weight: Tensor
    bias: Tensor | None
    operator: Any

    @classmethod
    def of(cls, weight_MH: Tensor, bias_M: Tensor | None = None) -> Fixed:
        """Lay the weight out, outside of autograd. Without another library in use it is taken as it is."""
        weight, bias = weight_MH.detach(), None if bias_M is None else bias_M.detach()
        if products.in_use() != "onednn":
            return cls(weight, bias, None)
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS)
        return cls(packed, bias, torch.ops.mkldnn._linear_pointwise.default)

    def __call__(self, inputs_NH: Tensor) -> Tensor:
        """(N, H) -> (N, M)."""
        if self.operator is None:
            return F.linear(inputs_NH, self.weight, self.bias)
        found: Tensor = self.operator(inputs_NH, self.weight, self.bias, "none", [], "")
        return found


@dataclass(frozen=True, slots=True)
class FixedBlock:
    """One transformer block. `heads` gives for each key head its G queries, its key and its value, (K x (G + 2) x D);
    in queries and keys the two numbers that turn together stand side by side (`paired`). `out` takes K x D x G."""

    heads: Fixed
    out: Fixed
    gate_up: Fixed
    down: Fixed
    epsilon: float
    key_heads: int
    head_width: int

    @classmethod
    @torch.no_grad()
    def of(cls, block: Block) -> FixedBlock:
        """Fold and lay out; the block's own tensors stay as they are."""
        width = block.head_width
        key_heads = block.key.weight.shape[0] // width
        weight, bias = _joined((block.query, block.key, block.value), block.norm)
        queries = block.query.weight.shape[0]
        for part in (weight, bias):
            if part is not None:
                part[:queries] *= block.scale
        order = _by_key_head(queries, key_heads, width)
        return cls(
            heads=Fixed.of(weight[order], None if bias is None else bias[order]),
            out=Fixed.of(_grouped_last(block.out.whole(), key_heads, width), block.out.bias),
            gate_up=Fixed.of(*_joined((block.gate, block.up), block.middle_norm)),
            down=Fixed.of(block.down.whole(), block.down.bias),
            epsilon=block.epsilon,
            key_heads=key_heads,
            head_width=width,
        )


def paired(values: Tensor) -> Tensor:
    """(..., D) in halves, the first half turning with the second, to pairs that stand side by side."""
    return values.reshape(*values.shape[:-1], 2, -1).transpose(-1, -2).flatten(-2)


def _joined(matrices: Sequence[Matrix], norm_H: Tensor) -> tuple[Tensor, Tensor | None]:
    """One weight and bias for matrices with the same normalised input."""
    weight = torch.cat([matrix.whole() for matrix in matrices]).mul_(norm_H)
    if all(matrix.bias is None for matrix in matrices):
        return weight, None
    biases = (weight.new_zeros(len(one.weight)) if one.bias is None else one.bias for one in matrices)
    return weight, torch.cat(list(biases))


def _grouped_last(weight_MH: Tensor, key_heads: int, width: int) -> Tensor:
    """Columns that take K x G x D to columns that take K x D x G."""
    return weight_MH.reshape(len(weight_MH), key_heads, -1, width).transpose(2, 3).flatten(1)


def _by_key_head(queries: int, key_heads: int, width: int) -> Tensor:
    """The rows of queries, keys and values in the order of `FixedBlock.heads`."""
    keys = key_heads * width
    rows = torch.split(torch.arange(queries + 2 * keys), [queries, keys, keys])
    query, key, value = (part.view(key_heads, -1, width) for part in rows)
    return torch.cat([paired(query), paired(key), value], dim=1).flatten()
