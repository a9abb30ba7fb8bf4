"""One token out of a long vocabulary, found in two looks: at a number for each piece of it, then inside one piece.

Shapes: B rows, V vocabulary, P pieces of it, C tokens of a piece.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PIECE = 256  # tokens of a piece: near the square root of a vocabulary both looks are short


def largest(values_BV: Tensor) -> Tensor:
    """Where the first of each row's largest values stands (B,)."""
    columns_BC = _columns(_folded(values_BV, torch.amax).argmax(-1), values_BV.shape[1])
    found_B1 = values_BV.gather(1, columns_BC).argmax(-1, keepdim=True)
    return columns_BC.gather(1, found_B1)[:, 0]


def inverse(weights_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """Where the cumulated weights pass a share of their sum (B,); never where the weight is 0."""
    sums_BP = _folded(weights_BV, torch.sum).double()
    target_B1 = uniform_B[:, None] * sums_BP.sum(-1, keepdim=True)
    piece_B1, target_B1 = _passing(sums_BP, target_B1)
    columns_BC = _columns(piece_B1[:, 0], weights_BV.shape[1])
    found_B1, _ = _passing(weights_BV.gather(1, columns_BC).double(), target_B1)
    return columns_BC.gather(1, found_B1)[:, 0]


def _passing(weights_BC: Tensor, target_B1: Tensor) -> tuple[Tensor, Tensor]:
    """Where the cumulated weights pass the target (B, 1), and how much of it is left for that place (B, 1)."""
    reached_BC = weights_BC.cumsum(-1)
    found_B1 = torch.searchsorted(reached_BC, target_B1, right=True)
    last_B1 = weights_BC.shape[1] - 1 - (weights_BC > 0).flip(-1).int().argmax(-1, keepdim=True)
    found_B1 = torch.minimum(found_B1, last_B1)  # sums that were rounded otherwise may end below the target
    return found_B1, target_B1 - (reached_BC.gather(1, found_B1) - weights_BC.gather(1, found_B1))


def _columns(piece_B: Tensor, vocabulary: int) -> Tensor:
    """The tokens of one piece of each row (B, C); past the end of the vocabulary its last one is named again."""
    inside_C = torch.arange(min(PIECE, vocabulary), device=piece_B.device)
    return (piece_B[:, None] * PIECE + inside_C).clamp_(max=vocabulary - 1)


def _folded(values_BV: Tensor, fold: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Each piece folded to one number (B, P); the last piece may be shorter than the others."""
    whole = values_BV.shape[1] // PIECE * PIECE
    parts = values_BV[:, :whole].reshape(len(values_BV), whole // PIECE, PIECE), values_BV[:, None, whole:]
    found = [fold(part, -1) for part in parts if part.numel()]
    return found[0] if len(found) == 1 else torch.cat(found, dim=1)
