"""How the next token is chosen: greedy, or drawn from the tempered and narrowed distribution.

Shapes: B rows, V vocabulary, C candidates that were looked at.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from affinage.errors import InputError

CANDIDATES = 256  # looked at first for a nucleus; most nuclei are smaller


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a person may choose about an answer.

    Attributes:
        max_tokens: most tokens to write.
        temperature: 0 takes the most likely token each time; 1 draws from the model's own distribution.
        top_p: draw only among the most likely tokens that together hold this share of the probability.
        top_k: draw only among so many most likely tokens; 0 is all. It narrows before `top_p` does.
        stop: texts that end the answer; they are not part of it.
        seed: the same prompt and seed give the same answer. Unset: drawn from Python's random state.

    Raises:
        InputError: a value is out of its range.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        texts = isinstance(self.stop, tuple) and all(isinstance(text, str) and text for text in self.stop)
        for name, holds, wanted in (
            ("max_tokens", _whole(self.max_tokens) and self.max_tokens >= 1, "a whole number from 1 up"),
            ("temperature", _number(self.temperature) and self.temperature >= 0, "a number from 0 up"),
            ("top_p", _number(self.top_p) and 0 < self.top_p <= 1, "a share above 0, at most 1"),
            ("top_k", _whole(self.top_k) and self.top_k >= 0, "a whole number from 0 (all tokens) up"),
            ("seed", self.seed is None or (_whole(self.seed) and self.seed >= 0), "a whole number from 0 up"),
            ("stop", texts, "a tuple of texts, none of them empty"),
        ):
            if not holds:
                raise InputError(f"{name} = {getattr(self, name)!r}: expected {wanted}")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    @property
    def narrows(self) -> bool:
        """Whether some tokens are kept from being drawn at all."""
        return self.top_k > 0 or self.top_p < 1


@torch.no_grad()
def sample(logits_BV: Tensor, samplings: Sequence[Sampling], generators: Sequence[random.Random]) -> Tensor:
    """The next token of each row, (B,).

    Each row has its own settings and its own generator, from which a row that draws takes exactly one number: what a
    row gets does not depend on the rows beside it.
    """
    ids_B = logits_BV.argmax(-1)
    for narrows, draw in ((False, _draw_from_all), (True, _draw_from_narrowed)):
        rows = [b for b, own in enumerate(samplings) if not own.greedy and own.narrows is narrows]
        if not rows:
            continue
        chosen = logits_BV if len(rows) == len(samplings) else logits_BV[rows]
        device = chosen.device
        temperature = torch.tensor([[samplings[b].temperature] for b in rows], device=device)
        uniform = torch.tensor([[generators[b].random()] for b in rows], dtype=torch.float64, device=device)
        ids_B[rows] = draw(chosen.float() / temperature, [samplings[b] for b in rows], uniform)
    return ids_B


def _draw_from_all(logits_BV: Tensor, samplings: Sequence[Sampling], uniform_B1: Tensor) -> Tensor:
    return _inverse(logits_BV.softmax(-1), uniform_B1)


def _draw_from_narrowed(logits_BV: Tensor, samplings: Sequence[Sampling], uniform_B1: Tensor) -> Tensor:
    """Sort no more of the vocabulary than the widest row needs."""
    vocabulary = logits_BV.shape[-1]
    device = logits_BV.device
    top_k_B1 = torch.tensor([[own.top_k or vocabulary] for own in samplings], device=device)
    top_p_B1 = torch.tensor([[own.top_p] for own in samplings], dtype=torch.float64, device=device)
    log_sum_B1 = logits_BV.logsumexp(-1, keepdim=True)
    count = min(vocabulary, max(own.top_k or CANDIDATES for own in samplings))
    while True:
        values_BC, tokens_BC = logits_BV.topk(count)
        probs_BC = (values_BC - log_sum_B1).double().exp()
        probs_BC = probs_BC.masked_fill(torch.arange(count, device=device) >= top_k_B1, 0.0)
        # what top_k leaves is a distribution of its own, of which top_p takes its share
        mass_B1 = torch.where(top_k_B1 < vocabulary, probs_BC.sum(-1, keepdim=True), 1.0)
        reached_BC = probs_BC.cumsum(-1)
        covered = (reached_BC[:, -1:] >= top_p_B1 * mass_B1) | (top_k_B1 <= count)
        if count == vocabulary or bool(covered.all()):
            break
        count = min(vocabulary, count * 8)
    nucleus_BC = (reached_BC - probs_BC) < top_p_B1 * mass_B1  # the token that crosses the share belongs to it
    drawn_B = _inverse(probs_BC * nucleus_BC, uniform_B1)
    return tokens_BC.gather(1, drawn_B[:, None])[:, 0]


def _inverse(weights_BC: Tensor, uniform_B1: Tensor) -> Tensor:
    """The column at which the cumulated weights pass the uniform number; never one of weight 0."""
    reached_BC = weights_BC.double().cumsum(-1)
    target_B1 = uniform_B1 * reached_BC[:, -1:]
    found_B = torch.searchsorted(reached_BC, target_B1, right=True)[:, 0]
    last_B = weights_BC.shape[-1] - 1 - (weights_BC > 0).flip(-1).int().argmax(-1)
    return torch.minimum(found_B, last_B)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
