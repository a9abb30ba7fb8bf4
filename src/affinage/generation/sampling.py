"""How the next token is chosen: greedy, or drawn from the tempered and narrowed distribution.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from affinage.errors import InputError
from affinage.generation.pieces import inverse, largest


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a person may choose about an answer.

    Attributes:
        max_tokens: most tokens to write.
        temperature: 0 takes the most likely token each time; 1 draws from the model's own distribution.
        top_p: draw only among the most likely tokens that together hold this share of the probability.
        top_k: draw only among so many most likely tokens; 0 is all. It narrows before `top_p` does. For both,
            tokens exactly as likely as the last one that belongs belong too.
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


@dataclass(frozen=True, slots=True)
class Chosen:
    """A token of each row (B,), and its log-probability (B,) in nats: the model's own, nothing tempered or narrowed."""

    tokens_B: Tensor
    logprobs_B: Tensor


@torch.inference_mode()
def sample(logits_BV: Tensor, samplings: Sequence[Sampling], generators: Sequence[random.Random]) -> Chosen:
    """The next token of each row, from its logits in float32, which are used up.

    Each row has its own settings and its own generator, from which a row that draws takes exactly one number: what a
    row gets does not depend on the rows beside it.
    """
    drawing = [row for row, own in enumerate(samplings) if not own.greedy]
    if len(drawing) < len(samplings):
        tokens_B = largest(logits_BV)
    else:
        tokens_B = torch.empty(len(samplings), dtype=torch.long, device=logits_BV.device)
    tempered = any(own.temperature not in (0, 1) for own in samplings)
    probs_BV = torch.softmax(logits_BV, -1, out=torch.empty_like(logits_BV) if tempered else logits_BV)
    log_sum_B = logits_BV.amax(-1) - probs_BV.amax(-1).log() if tempered else None
    if drawing:
        rows = drawing if len(drawing) < len(samplings) else slice(None)
        own, streams = [samplings[row] for row in drawing], [generators[row] for row in drawing]
        tokens_B[rows] = _draw(logits_BV[rows], probs_BV[rows], own, streams)
    if log_sum_B is None:
        return Chosen(tokens_B, probs_BV.gather(1, tokens_B[:, None])[:, 0].log())
    # what was drawn at another temperature may have a probability that is too small for a float
    return Chosen(tokens_B, logits_BV.gather(1, tokens_B[:, None])[:, 0] - log_sum_B)


def _draw(
    logits_BV: Tensor, probs_BV: Tensor, samplings: Sequence[Sampling], generators: Sequence[random.Random]
) -> Tensor:
    """A token of each row (B,), none of them greedy. Where no temperature is set, the logits are not looked at."""
    device = probs_BV.device
    uniform_B = torch.tensor([generator.random() for generator in generators], dtype=torch.float64, device=device)
    if any(own.temperature != 1 for own in samplings):
        temperature_B1 = torch.tensor([[own.temperature] for own in samplings], device=device)
        probs_BV = (logits_BV / temperature_B1).softmax(-1)
    narrowed = [row for row, own in enumerate(samplings) if own.narrows]
    if len(narrowed) == len(samplings):
        probs_BV = _narrow(probs_BV, samplings)
    elif narrowed:
        weights_BV = probs_BV.clone()
        weights_BV[narrowed] = _narrow(probs_BV[narrowed], [samplings[row] for row in narrowed])
        probs_BV = weights_BV
    return inverse(probs_BV, uniform_B)


def _narrow(probs_BV: Tensor, samplings: Sequence[Sampling]) -> Tensor:
    """The probabilities of the tokens that may be drawn, 0 for the others."""
    vocabulary, device = probs_BV.shape[1], probs_BV.device
    sorted_BV = _ascending(probs_BV)
    first_B1 = torch.tensor(
        [[vocabulary - min(own.top_k or vocabulary, vocabulary)] for own in samplings], device=device
    )
    if any(own.top_p < 1 for own in samplings):
        # what top_k leaves is a distribution of its own, of which top_p takes its share; the token that crosses the
        # share belongs to it
        outside_B1 = torch.tensor([[1 - own.top_p] for own in samplings], dtype=torch.float64, device=device)
        reached_BV = sorted_BV.cumsum(-1, dtype=torch.float64)
        below_B1 = reached_BV.gather(1, first_B1) - sorted_BV.gather(1, first_B1)
        outside_B1 = below_B1 + outside_B1 * (reached_BV[:, -1:] - below_B1)
        crossing_B1 = torch.searchsorted(reached_BV, outside_B1, right=True).clamp_(max=vocabulary - 1)
        first_B1 = torch.maximum(first_B1, crossing_B1)
    kept_BV = torch.ge(probs_BV, sorted_BV.gather(1, first_B1), out=torch.empty_like(probs_BV))  # as 0 and 1
    return kept_BV.mul_(probs_BV)


def _ascending(values_BV: Tensor) -> Tensor:
    """Each row in ascending order. On a CPU by numpy, which sorts with the vector units: 30 times as fast as torch."""
    if values_BV.device.type != "cpu":
        return values_BV.sort(-1).values
    return torch.from_numpy(np.sort(values_BV.numpy(), axis=-1))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
