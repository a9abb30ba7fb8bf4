"""One transformer block of the Llama family on packed tokens: forward, and its gradient written by hand.

What autograd would keep, copy or compute again is left out: nothing is kept for a block whose gradient nobody needs,
residuals grow in place, a LoRA is folded into its matrix, a frozen matrix gets no gradient.

Shapes: N tokens, H width, F inner width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from affinage.models.packed.attention import Attended, attend, attend_backward
from affinage.models.packed.layout import Run
from affinage.models.packed.weights import Block, Matrix
from affinage.products import added, outer, product

Note = Callable[[Tensor, Tensor], None]  # (parameter, its gradient): called for each tensor that trains


@dataclass(slots=True)
class Seen:
    """What a block's gradient needs of its forward pass. `kept`: the tokens that went on after attention."""

    normal_NH: Tensor
    inverse_N1: Tensor
    query: Tensor
    key: Tensor
    value: Tensor
    attended: Attended
    kept: Tensor | None
    middle_NH: Tensor
    middle_inverse_N1: Tensor
    gate_NF: Tensor
    up_NF: Tensor


@dataclass(frozen=True, slots=True)
class Angles:
    """Rotary angles of each token: cosines and sines (N, 1, D/2)."""

    cos: Tensor
    sin: Tensor


def forward(
    stream_NH: Tensor, block: Block, runs: tuple[Run, ...], angles: Angles, *, keep: bool, wanted: Tensor | None = None
) -> tuple[Tensor, Seen | None]:
    """The residual stream after the block, changed in place (a new one where only the `wanted` tokens go on)."""
    normal, inverse = normalise(stream_NH, block.epsilon)
    scaled = normal * block.norm
    heads = [linear(scaled, matrix).view(len(scaled), -1, block.head_width) for matrix in block.matrices[:3]]
    query, key, value = heads
    rotate(query, angles)
    rotate(key, angles)
    attended = attend(query, key, value, runs, block.scale)
    flat = attended.out_NQD.flatten(1)
    if wanted is not None:
        stream_NH, flat = stream_NH[wanted], flat[wanted]
    _add_linear(stream_NH, flat, block.out)
    middle, middle_inverse = normalise(stream_NH, block.epsilon)
    scaled = middle * block.middle_norm
    gate, up = linear(scaled, block.gate), linear(scaled, block.up)
    _add_linear(stream_NH, F.silu(gate).mul_(up), block.down)
    if not keep:
        return stream_NH, None
    return stream_NH, Seen(normal, inverse, query, key, value, attended, wanted, middle, middle_inverse, gate, up)


def backward(
    grad_NH: Tensor, seen: Seen, block: Block, runs: tuple[Run, ...], angles: Angles, note: Note, *, further: bool
) -> Tensor | None:
    """The gradient of the stream before the block, from that after it (used up); None unless it is needed `further`
    down."""
    grad_NH = _feed_backward(grad_NH, seen, block, note)
    below = further or any(
        tensor.requires_grad for part in (block.query, block.key, block.value) for tensor in part.tensors
    )
    below = below or block.norm.requires_grad
    flat = seen.attended.out_NQD.flatten(1)
    grad_out = matrix_backward(grad_NH, flat if seen.kept is None else flat[seen.kept], block.out, note, needed=below)
    if grad_out is None:
        return None
    if seen.kept is not None:
        grad_NH = _spread(grad_NH, seen.kept, len(seen.normal_NH))
        grad_out = _spread(grad_out, seen.kept, len(seen.normal_NH))
    grads = attend_backward(
        grad_out.view_as(seen.query), seen.attended, seen.query, seen.key, seen.value, runs, block.scale
    )
    rotate(grads[0], angles, back=True)
    rotate(grads[1], angles, back=True)
    grad_scaled: Tensor | None = None
    scaled = seen.normal_NH * block.norm
    for grad, matrix in zip(grads, block.matrices[:3], strict=True):
        grad_scaled = matrix_backward(grad.flatten(1), scaled, matrix, note, needed=True, onto=grad_scaled)
    assert grad_scaled is not None
    return normalise_backward(grad_NH, grad_scaled, seen.normal_NH, seen.inverse_N1, block.norm, note)


def _feed_backward(grad_NH: Tensor, seen: Seen, block: Block, note: Note) -> Tensor:
    active = F.silu(seen.gate_NF)
    inner = active * seen.up_NF
    grad_inner = matrix_backward(grad_NH, inner, block.down, note, needed=True)
    assert grad_inner is not None
    grad_up = torch.mul(grad_inner, active, out=inner)
    grad_gate = torch.ops.aten.silu_backward(grad_inner.mul_(seen.up_NF), seen.gate_NF)
    scaled = seen.middle_NH * block.middle_norm
    grad_scaled = matrix_backward(grad_gate, scaled, block.gate, note, needed=True)
    grad_scaled = matrix_backward(grad_up, scaled, block.up, note, needed=True, onto=grad_scaled)
    assert grad_scaled is not None
    return normalise_backward(grad_NH, grad_scaled, seen.middle_NH, seen.middle_inverse_N1, block.middle_norm, note)


def linear(inputs_NK: Tensor, matrix: Matrix) -> Tensor:
    """(N, K) -> (N, M)."""
    found = product(inputs_NK, matrix.whole().T)
    return found if matrix.bias is None else found.add_(matrix.bias)


def _add_linear(onto_NM: Tensor, inputs_NK: Tensor, matrix: Matrix) -> None:
    added(onto_NM, inputs_NK, matrix.whole().T)
    if matrix.bias is not None:
        onto_NM.add_(matrix.bias)


def matrix_backward(
    grad_NM: Tensor, inputs_NK: Tensor, matrix: Matrix, note: Note, *, needed: bool, onto: Tensor | None = None
) -> Tensor | None:
    """Gradient of the inputs (added to `onto`), None unless `needed`; the tensors' own gradients go to `note`."""
    if matrix.weight.requires_grad:
        note(matrix.weight, outer(grad_NM, inputs_NK))
    if matrix.bias is not None and matrix.bias.requires_grad:
        note(matrix.bias, grad_NM.sum(0))
    if matrix.down is not None and matrix.up is not None:
        if matrix.up.requires_grad:
            note(matrix.up, outer(grad_NM, product(inputs_NK, matrix.down.T)).mul_(matrix.scale))
        if matrix.down.requires_grad:
            note(matrix.down, outer(product(grad_NM, matrix.up), inputs_NK).mul_(matrix.scale))
    if not needed:
        return None
    whole = matrix.whole()
    return product(grad_NM, whole) if onto is None else added(onto, grad_NM, whole)


def normalise(stream_NH: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """x / rms(x), and 1 / rms(x) (N, 1) (Zhang & Sennrich, 2019)."""
    squares = torch.linalg.vector_norm(stream_NH, dim=1, keepdim=True).square_()
    inverse = squares.div_(stream_NH.shape[1]).add_(epsilon).rsqrt_()
    return stream_NH * inverse, inverse


def normalise_backward(
    grad_NH: Tensor, grad_scaled_NH: Tensor, normal_NH: Tensor, inverse_N1: Tensor, weight_H: Tensor, note: Note
) -> Tensor:
    """The residual's gradient plus that through the normalisation, in place."""
    both = grad_scaled_NH * normal_NH
    if weight_H.requires_grad:
        note(weight_H, both.sum(0))
    mean_N1 = torch.mv(both, weight_H)[:, None].div_(normal_NH.shape[1])
    through = grad_scaled_NH.mul_(weight_H).addcmul_(normal_NH, mean_N1, value=-1.0)
    return grad_NH.addcmul_(through, inverse_N1)


def rotate(values_NHD: Tensor, angles: Angles, *, back: bool = False) -> None:
    """Turn each pair (first half, second half) of a head by its token's angle, in place (Su et al., 2021)."""
    first, second = values_NHD.chunk(2, dim=-1)
    sign = -1.0 if back else 1.0
    turned = first * angles.sin
    first.mul_(angles.cos).addcmul_(second, angles.sin, value=-sign)
    second.mul_(angles.cos).add_(turned, alpha=sign)


def _spread(values_MH: Tensor, places: Tensor, count: int) -> Tensor:
    """Rows back to their places among `count`, zeros elsewhere."""
    return values_MH.new_zeros(count, values_MH.shape[1]).index_copy_(0, places, values_MH)
