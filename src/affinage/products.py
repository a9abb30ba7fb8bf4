"""Matrix products in float32 on a CPU: the faster of the two libraries that torch carries.

Torch multiplies with the library that it was built on; on processors of some makers that library leaves the widest
vector units unused, while the other one, which torch carries for convolutions, uses them (measured: docs/performance.md).
Both sum in float32; they differ in the order of summation alone.

Shapes: N rows, K summed over, M columns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

Library = Literal["torch", "onednn"]

_SMALL = 1 << 22  # multiplications below which preparing a program for the shape costs more than it saves
_LARGE = 1 << 21  # entries of a matrix of which few packed copies may exist
_WORTH = 1.1  # how much faster the other library must be: below that, torch's own stays
_SIZES = ((512, 288, 768), (512, 768, 288))  # thin matrices, as a small model's are
_onednn: Any = None  # the operator while it is in use


def available() -> bool:
    """Whether this build of torch carries the other library, and it gives the same product."""
    try:
        operator = torch.ops.mkldnn._linear_pointwise
        left, right = torch.arange(35.0).view(5, 7), torch.arange(21.0).view(7, 3)
        return bool(torch.allclose(_pointwise(operator, left, right), left @ right, atol=1e-5))
    except (AttributeError, RuntimeError, NotImplementedError, TypeError):
        return False


def use(library: Library) -> Library:
    """Multiply with `library` from here on where it is there; the one that is now in use."""
    global _onednn
    _onednn = torch.ops.mkldnn._linear_pointwise if library == "onednn" and available() else None
    return in_use()


def in_use() -> Library:
    """The library that `product` multiplies with."""
    return "torch" if _onednn is None else "onednn"


def faster() -> Library:
    """The library that is faster here, by a measurement of a few milliseconds with the present number of threads."""
    return _measured(torch.get_num_threads()) if available() else "torch"


@cache
def _measured(threads: int) -> Library:
    operator = torch.ops.mkldnn._linear_pointwise
    gain = 1.0
    for rows, inner, columns in _SIZES:
        left, right = torch.ones(rows, inner), torch.ones(columns, inner).T  # random ones would move the seed
        gain *= _seconds(left.matmul, right) / _seconds(lambda b, a=left: _pointwise(operator, a, b), right)  # type: ignore[misc]
    return "onednn" if gain ** (1 / len(_SIZES)) > _WORTH else "torch"


def product(left_NK: Tensor, right_KM: Tensor) -> Tensor:
    """left @ right (N, M), outside of autograd. The right matrix may be a transposed view at no cost."""
    if not _suits(left_NK, right_KM):
        return left_NK @ right_KM
    return _pointwise(_onednn, left_NK, right_KM)


def added(onto_NM: Tensor, left_NK: Tensor, right_KM: Tensor) -> Tensor:
    """`onto` + left @ right, in place."""
    if left_NK.dtype != onto_NM.dtype:
        return onto_NM.add_(left_NK @ right_KM)
    if not _suits(left_NK, right_KM):
        return onto_NM.addmm_(left_NK, right_KM)
    return onto_NM.add_(_pointwise(_onednn, left_NK, right_KM))


def outer(grad_NM: Tensor, inputs_NK: Tensor) -> Tensor:
    """grad.T @ inputs (M, K), contiguous. A left matrix that is turned is copied, so the narrower one stands there."""
    if grad_NM.shape[1] <= inputs_NK.shape[1]:
        return product(grad_NM.T, inputs_NK)
    return product(inputs_NK.T, grad_NM).T.contiguous()


def _suits(left_NK: Tensor, right_KM: Tensor) -> bool:
    """Whether the other library multiplies these: enough work, and a large right matrix only where the number of rows is
    a round one, as a packed copy of it is kept for each number that is met."""
    if _onednn is None or left_NK.dtype != torch.float32 or left_NK.device.type != "cpu":
        return False
    rows, inner = left_NK.shape
    if rows * right_KM.numel() < _SMALL:
        return False
    return right_KM.numel() < _LARGE or (rows % 32 == 0 and inner % 32 == 0)


def _pointwise(operator: Any, left_NK: Tensor, right_KM: Tensor) -> Tensor:
    result: Tensor = operator(left_NK, right_KM.T, None, "none", [], "")
    return result


def _seconds(multiply: Callable[[Tensor], Tensor], right: Tensor) -> float:
    """The best of a few, which other work on the machine disturbs least."""
    best = float("inf")
    for _ in range(6):
        began = time.perf_counter()
        multiply(right)
        best = min(best, time.perf_counter() - began)
    return best
