"""Log-probabilities without ever holding full logits: only learned positions, in chunks.

Shapes: N learned positions, H width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from affinage.products import added, product

CHUNK_BYTES = 32 * 2**20  # of float32 logits at a time


@dataclass(frozen=True, slots=True)
class OutputHead:
    """A causal model's way from hidden states to logits: a projection, then what some families do to its result."""

    projection: nn.Module
    multiplier: float = 1.0
    softcap: float | None = None

    @classmethod
    def of(cls, network: Any) -> OutputHead:
        """Read the head of a causal model of Hugging Face's layout."""
        config = network.config.get_text_config()
        multiplier = float(getattr(config, "logit_scale", None) or 1.0)  # Cohere
        multiplier /= float(getattr(config, "logits_scaling", None) or 1.0)  # Granite
        return cls(network.get_output_embeddings(), multiplier, getattr(config, "final_logit_softcapping", None))

    @property
    def plain(self) -> bool:
        """A bare matrix product: the hand-written gradient applies."""
        bare = type(self.projection) is nn.Linear and self.projection.bias is None
        return bare and self.multiplier == 1.0 and self.softcap is None

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., H) -> (..., V) in float32."""
        if (
            self.plain
            and not torch.is_grad_enabled()
            and hidden.ndim == 2
            and not torch.is_autocast_enabled(hidden.device.type)
        ):
            return product(hidden, self.projection.weight.T).float()  # type: ignore[arg-type]
        logits: Tensor = self.projection(hidden).float() * self.multiplier
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)


def chunk_rows(vocabulary: int) -> int:
    """Positions per chunk, so that a chunk's logits stay near `CHUNK_BYTES`."""
    return max(64, min(2048, CHUNK_BYTES // (4 * vocabulary) // 64 * 64))


def weighted_nll(hidden_NH: Tensor, head: OutputHead, targets_N: Tensor, weights_N: Tensor) -> Tensor:
    """Sum over N of weight x negative log-likelihood, in nats: a scalar to call backward on.

    Value and gradient equal those of `cross_entropy` on the full logits.
    """
    if head.plain and torch.is_grad_enabled():
        weight: Tensor = head.projection.weight  # type: ignore[assignment]
        total: Tensor = _WeightedNLL.apply(hidden_NH, weight, targets_N, weights_N)  # type: ignore[no-untyped-call]
        return total
    total = hidden_NH.new_zeros((), dtype=torch.float32)
    for piece, targets, weights in _chunks(head, hidden_NH, targets_N, weights_N):
        total = total + checkpoint(_nll_sum, piece, head, targets, weights, use_reentrant=False)
    return total


def row_nll(
    hidden_NH: Tensor, head: OutputHead, targets_N: Tensor, weights_N: Tensor, owners_N: Tensor, rows: int
) -> Tensor:
    """Per row (R,): the sum of weight x negative log-likelihood over the positions that it owns, in nats.

    Args:
        owners_N: the number of the row that each position belongs to, from 0 to `rows` - 1.
    """
    if head.plain and torch.is_grad_enabled():
        weight: Tensor = head.projection.weight  # type: ignore[assignment]
        found: Tensor = _RowNLL.apply(hidden_NH, weight, targets_N, weights_N, owners_N, rows)  # type: ignore[no-untyped-call]
        return found
    found = hidden_NH.new_zeros(rows, dtype=torch.float32)
    for piece, targets, weights, owners in _chunks(head, hidden_NH, targets_N, weights_N, owners_N):
        found = found.index_add(0, owners, checkpoint(_nll_parts, piece, head, targets, weights, use_reentrant=False))
    return found


@torch.no_grad()
def token_nll(hidden_NH: Tensor, head: OutputHead, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """Per position: negative log-likelihood (N,) in nats, and whether no token is more likely than the target (N,)."""
    nlls, hits = [], []
    for piece, targets in _chunks(head, hidden_NH, targets_N):
        nll, hit, _ = _likelihood(head.logits(piece), targets)
        nlls.append(nll)
        hits.append(hit)
    if not nlls:
        return hidden_NH.new_zeros(0, dtype=torch.float32), hidden_NH.new_zeros(0, dtype=torch.bool)
    return torch.cat(nlls), torch.cat(hits)


def _chunks(head: OutputHead, *tensors: Tensor) -> zip[tuple[Tensor, ...]]:
    rows = chunk_rows(int(getattr(head.projection, "out_features", 50_000)))
    return zip(*(torch.split(tensor, rows) for tensor in tensors), strict=True)


def _nll_sum(hidden: Tensor, head: OutputHead, targets: Tensor, weights: Tensor) -> Tensor:
    return _nll_parts(hidden, head, targets, weights).sum()


def _nll_parts(hidden: Tensor, head: OutputHead, targets: Tensor, weights: Tensor) -> Tensor:
    return F.cross_entropy(head.logits(hidden), targets, reduction="none") * weights


def nll_and_gradient(logits_NV: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """Negative log-likelihood (N,) and its gradient for the logits, softmax - one-hot (N, V), written over them."""
    nll_N, _, softmax_NV = _likelihood(logits_NV, targets_N)
    softmax_NV.scatter_add_(1, targets_N[:, None], softmax_NV.new_full((len(targets_N), 1), -1.0))
    return nll_N, softmax_NV


def _likelihood(logits_NV: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Negative log-likelihood, whether the target is the most likely, and the softmax, written over the logits.

    The log-sum-exponential is read off the largest probability, which is at least 1 / V: log-sum = largest logit -
    log(its probability). That spares a second pass of exponentials.
    """
    largest_N = logits_NV.amax(dim=-1)
    chosen_N = logits_NV.gather(1, targets_N[:, None])[:, 0]
    softmax_NV = torch.softmax(logits_NV, dim=-1, out=logits_NV)
    return largest_N - softmax_NV.amax(dim=-1).log() - chosen_N, chosen_N == largest_N, softmax_NV


class _WeightedNLL(torch.autograd.Function):
    """The gradient is formed in the forward pass, chunk by chunk, so that no logits outlive their chunk."""

    @staticmethod
    def forward(ctx: Any, hidden_NH: Tensor, weight_VH: Tensor, targets_N: Tensor, weights_N: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden_NH.device)
        grad_hidden = torch.empty_like(hidden_NH) if hidden_NH.requires_grad else None
        grad_weight_HV = (
            weight_VH.new_zeros(weight_VH.shape[::-1], dtype=torch.float32) if weight_VH.requires_grad else None
        )
        hidden, weight = _for_products(hidden_NH, weight_VH)
        for piece in _pieces(hidden_NH, weight_VH):
            weights = weights_N[piece].float()
            nll, grad = nll_and_gradient(product(hidden[piece], weight.T).float(), targets_N[piece])
            total += (nll * weights).sum()
            grad = grad.mul_(weights[:, None]).to(weight.dtype)
            if grad_hidden is not None:
                grad_hidden[piece] = product(grad, weight)
            if grad_weight_HV is not None:  # turned: the thin matrix is the one that is copied to be turned
                added(grad_weight_HV, hidden[piece].T, grad)
        grad_weight = None if grad_weight_HV is None else grad_weight_HV.T.contiguous()
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.weight_dtype = weight_VH.dtype
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (scale,) = grads
        grad_hidden, grad_weight = ctx.saved_tensors
        return (
            None if grad_hidden is None else grad_hidden * scale.to(grad_hidden.dtype),
            None if grad_weight is None else (grad_weight * scale).to(ctx.weight_dtype),
            None,
            None,
        )


class _RowNLL(torch.autograd.Function):
    """As `_WeightedNLL`, with a sum for each row.

    What a row's sum will be multiplied by is known in the backward pass alone. The hidden states' gradient waits for
    it as it is: each position has one row, so it is scaled afterwards. The weight's gradient is a sum over positions
    of all rows, so it cannot be formed before: where the head trains, the backward pass computes the chunks again.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden_NH: Tensor,
        weight_VH: Tensor,
        targets_N: Tensor,
        weights_N: Tensor,
        owners_N: Tensor,
        rows: int,
    ) -> Tensor:
        found_R = torch.zeros(rows, dtype=torch.float32, device=hidden_NH.device)
        grad_hidden = torch.empty_like(hidden_NH) if hidden_NH.requires_grad else None
        hidden, weight = _for_products(hidden_NH, weight_VH)
        for piece in _pieces(hidden_NH, weight_VH):
            weights = weights_N[piece].float()
            nll, grad = nll_and_gradient(product(hidden[piece], weight.T).float(), targets_N[piece])
            found_R.index_add_(0, owners_N[piece], nll * weights)
            if grad_hidden is not None:
                grad_hidden[piece] = product(grad.mul_(weights[:, None]).to(weight.dtype), weight)
        again = (hidden_NH, weight_VH, targets_N, weights_N) if weight_VH.requires_grad else ()
        ctx.save_for_backward(grad_hidden, owners_N, *again)
        ctx.number_type = weight.dtype
        return found_R

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None, None]:
        grad_hidden, owners_N, *again = ctx.saved_tensors
        scales_N = grads[0][owners_N]
        if grad_hidden is not None:
            grad_hidden = grad_hidden * scales_N[:, None].to(grad_hidden.dtype)
        if not again:
            return grad_hidden, None, None, None, None, None
        hidden_NH, weight_VH, targets_N, weights_N = again
        hidden, weight = hidden_NH.to(ctx.number_type), weight_VH.to(ctx.number_type)
        grad_weight_HV = weight_VH.new_zeros(weight_VH.shape[::-1], dtype=torch.float32)
        for piece in _pieces(hidden_NH, weight_VH):
            _, grad = nll_and_gradient(product(hidden[piece], weight.T).float(), targets_N[piece])
            grad.mul_((weights_N[piece].float() * scales_N[piece])[:, None])
            added(grad_weight_HV, hidden[piece].T, grad.to(weight.dtype))
        return grad_hidden, grad_weight_HV.T.contiguous().to(weight_VH.dtype), None, None, None, None


def _pieces(hidden_NH: Tensor, weight_VH: Tensor) -> list[slice]:
    """Chunks of a round number of positions, then smaller round ones, then the rest: few numbers to prepare for."""
    pieces: list[slice] = []
    start, count = 0, hidden_NH.shape[0]
    for size in (chunk_rows(weight_VH.shape[0]), 64, 32):
        while count - start >= size:
            pieces.append(slice(start, start + size))
            start += size
    return pieces if start == count else [*pieces, slice(start, count)]


def _for_products(hidden_NH: Tensor, weight_VH: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the number type of the products here: the backward pass stands outside of autocast and must use the same."""
    device = hidden_NH.device.type
    inside = torch.is_autocast_enabled(device)
    number_type = torch.get_autocast_dtype(device) if inside else hidden_NH.dtype
    return hidden_NH.to(number_type), weight_VH.to(number_type)
