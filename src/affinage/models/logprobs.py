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

CHUNK_BYTES = 4 * 2**20  # of float32 logits at a time


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
        logits: Tensor = self.projection(hidden).float() * self.multiplier
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)


def chunk_rows(vocabulary: int) -> int:
    """Positions per chunk, so that a chunk's logits stay near `CHUNK_BYTES`."""
    return max(16, CHUNK_BYTES // (4 * vocabulary))


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


@torch.no_grad()
def token_nll(hidden_NH: Tensor, head: OutputHead, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """Per position: negative log-likelihood (N,) in nats, and whether the target is the most likely token (N,)."""
    nlls, hits = [], []
    for piece, targets in _chunks(head, hidden_NH, targets_N):
        logits = head.logits(piece)
        nlls.append(F.cross_entropy(logits, targets, reduction="none"))
        hits.append(logits.argmax(-1) == targets)
    if not nlls:
        return hidden_NH.new_zeros(0, dtype=torch.float32), hidden_NH.new_zeros(0, dtype=torch.bool)
    return torch.cat(nlls), torch.cat(hits)


def _chunks(head: OutputHead, *tensors: Tensor) -> zip[tuple[Tensor, ...]]:
    rows = chunk_rows(int(getattr(head.projection, "out_features", 50_000)))
    return zip(*(torch.split(tensor, rows) for tensor in tensors), strict=True)


def _nll_sum(hidden: Tensor, head: OutputHead, targets: Tensor, weights: Tensor) -> Tensor:
    return (F.cross_entropy(head.logits(hidden), targets, reduction="none") * weights).sum()


class _WeightedNLL(torch.autograd.Function):
    """The gradient is formed in the forward pass, chunk by chunk, so that no logits outlive their chunk."""

    @staticmethod
    def forward(ctx: Any, hidden_NH: Tensor, weight_VH: Tensor, targets_N: Tensor, weights_N: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden_NH.device)
        grad_hidden = torch.empty_like(hidden_NH) if hidden_NH.requires_grad else None
        grad_weight = torch.zeros_like(weight_VH, dtype=torch.float32) if weight_VH.requires_grad else None
        rows = chunk_rows(weight_VH.shape[0])
        for start in range(0, hidden_NH.shape[0], rows):
            piece = slice(start, start + rows)
            targets, weights = targets_N[piece], weights_N[piece].float()
            logits = (hidden_NH[piece] @ weight_VH.T).float()
            log_sum = logits.logsumexp(-1, keepdim=True)
            total += ((log_sum - logits.gather(1, targets[:, None]))[:, 0] * weights).sum()
            grad = logits.sub_(log_sum).exp_()  # softmax, in place
            grad.scatter_add_(1, targets[:, None], grad.new_full((len(targets), 1), -1.0))
            grad.mul_(weights[:, None])
            grad_typed = grad.to(hidden_NH.dtype)
            if grad_hidden is not None:
                grad_hidden[piece] = grad_typed @ weight_VH
            if grad_weight is not None:
                grad_weight += (grad_typed.T @ hidden_NH[piece]).float()
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
