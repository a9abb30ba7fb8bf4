"""Causal attention inside each row of a packed batch: one flash call for rows of equal length, no mask, no padding.

A row that continues others attends to all of those as well: its parts are computed apart and joined by their
log-sum-exponentials, which is exact (Dao et al., 2022, section 3.1; the same identity carries the gradient).

Shapes: N tokens, Q query heads, K key and value heads (Q = K x G), D width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from affinage.models.packed.layout import Run

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(slots=True)
class Attended:
    """What attention gave (N, Q, D), and each run's log-sum-exponentials, for the gradient."""

    out_NQD: Tensor
    log_sums: list[Tensor]


def attend(query_NQD: Tensor, key_NKD: Tensor, value_NKD: Tensor, runs: tuple[Run, ...], scale: float) -> Attended:
    """Each token attends to itself and the tokens before it in its text."""
    found = Attended(torch.empty_like(query_NQD), [])
    groups = query_NQD.shape[1] // key_NKD.shape[1]
    for part in _calls(runs, groups):
        query = _queries(query_NQD, part, groups)
        keys, values = _keys(key_NKD, part, groups), _keys(value_NKD, part, groups)
        out, log_sum = _flash(query, keys, values, 0.0, True, scale=scale)
        for piece in part.pieces:
            keys, values = _keys(key_NKD, piece, groups), _keys(value_NKD, piece, groups)
            out, log_sum = _joined(out, log_sum, *_flash(query, keys, values, 0.0, False, scale=scale))
        found.out_NQD[part.start : part.end] = _flat(out, part, groups)
        found.log_sums.append(log_sum)
    return found


def attend_backward(
    grad_NQD: Tensor,
    found: Attended,
    query_NQD: Tensor,
    key_NKD: Tensor,
    value_NKD: Tensor,
    runs: tuple[Run, ...],
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value."""
    groups = query_NQD.shape[1] // key_NKD.shape[1]
    shared = any(run.before for run in runs)  # then a key's gradient is a sum over rows
    make = torch.zeros_like if shared else torch.empty_like
    grad_query, grad_key, grad_value = torch.empty_like(query_NQD), make(key_NKD), make(value_NKD)
    for part, log_sum in zip(_calls(runs, groups), found.log_sums, strict=True):
        query = _queries(query_NQD, part, groups)
        out, grad_out = _queries(found.out_NQD, part, groups), _queries(grad_NQD, part, groups)
        total: Tensor | None = None
        for piece in (part, *part.pieces):
            keys, values = _keys(key_NKD, piece, groups), _keys(value_NKD, piece, groups)
            own = _flash_backward(grad_out, query, keys, values, out, log_sum, 0.0, piece is part, scale=scale)
            total = own[0] if total is None else total.add_(own[0])
            for grad, new in ((grad_key, own[1]), (grad_value, own[2])):
                place, folded = grad[piece.start : piece.end], _folded(new, piece, groups)
                place.add_(folded) if shared else place.copy_(folded)
        grad_query[part.start : part.end] = _flat(total, part, groups)  # type: ignore[arg-type]
    return grad_query, grad_key, grad_value


def _calls(runs: tuple[Run, ...], groups: int) -> Iterator[Run]:
    """The flash calls: where query heads share keys, rows go one by one (the key heads are then the batch)."""
    for run in runs:
        if groups == 1 or run.count == 1:
            yield run
        else:
            yield from (Run(run.start + n * run.length, run.length, 1, run.before) for n in range(run.count))


def _queries(values_NQD: Tensor, run: Run, groups: int) -> Tensor:
    """(N, Q, D) -> (count, Q, length, D), or (K, G, length, D) where heads share keys: a view."""
    piece, (heads, width) = values_NQD[run.start : run.end], values_NQD.shape[1:]
    if groups > 1:
        return piece.view(run.length, heads // groups, groups, width).permute(1, 2, 0, 3)
    return piece.view(run.count, run.length, heads, width).transpose(1, 2)


def _keys(values_NKD: Tensor, run: Run, groups: int) -> Tensor:
    """Keys or values in the queries' shape; those that heads share stand in memory once."""
    if groups == 1:
        return _queries(values_NKD, run, 1)
    return values_NKD[run.start : run.end].permute(1, 0, 2)[:, None].expand(-1, groups, -1, -1)


def _flat(values: Tensor, run: Run, groups: int) -> Tensor:
    """The queries' shape back to (tokens, Q, D)."""
    tokens, width = run.length * run.count, values.shape[3]
    if groups > 1:
        return values.permute(2, 0, 1, 3).reshape(tokens, -1, width)
    return values.transpose(1, 2).reshape(tokens, -1, width)


def _folded(values: Tensor, run: Run, groups: int) -> Tensor:
    """Gradients of keys (tokens, K, D): those of heads that share one are added."""
    return _flat(values, run, 1) if groups == 1 else values.sum(1).transpose(0, 1)


def _joined(out: Tensor, log_sum: Tensor, more: Tensor, more_log_sum: Tensor) -> tuple[Tensor, Tensor]:
    """Two parts' outputs as if all their keys had been in one softmax; sums are (batch, heads, tokens)."""
    both = torch.logaddexp(log_sum, more_log_sum)
    return torch.lerp(more, out, (log_sum - both).exp().unsqueeze(-1)), both
