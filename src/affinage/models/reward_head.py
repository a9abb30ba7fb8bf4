"""The head that says how good a completion is: one number from the hidden state of its last token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from affinage.errors import InputError
from affinage.models.heads import standardisation

REWARD = "reward"  # the head's name on the model


class RewardHead(nn.Module):
    """Standardised hidden state (N, H) -> score (N,). Without a bias: pairs of one prompt cannot tell it.

    `centre` and `spread`, the mean and the spread of scores, are fitted once after training. Rewards are centred, so
    that 0 is an answer like most; their differences stay log-odds. The spread is for whoever needs them in its unit.

    Args:
        inputs: width H of the hidden states.
    """

    mean: Tensor
    std: Tensor
    centre: Tensor
    spread: Tensor

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.dense = nn.Linear(inputs, 1, bias=False)
        # A twentieth of the usual 1 / sqrt(H + 1): scores start near even odds, not a whole nat of noise away from them.
        nn.init.normal_(self.dense.weight, std=0.05 * (inputs + 1) ** -0.5)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("std", torch.ones(inputs))
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))

    def forward(self, hidden_NH: Tensor) -> Tensor:
        """Scores (N,) in float32, as they are trained."""
        scores: Tensor = self.dense((hidden_NH.to(self.mean.dtype) - self.mean) / self.std)[..., 0]
        return scores

    @torch.no_grad()
    def standardise(self, hidden_NH: Tensor) -> None:
        """Fit the standardisation of what comes in, before training."""
        mean_H, std_H = standardisation(hidden_NH)
        self.mean.copy_(mean_H)
        self.std.copy_(std_H)

    @torch.no_grad()
    def answers(self, scores_N: Tensor) -> Tensor:
        """Scores as rewards (N,): centred."""
        return scores_N - self.centre

    @torch.no_grad()
    def fit(self, scores_N: Tensor) -> None:
        """Take the mean and the spread of these scores; equal scores keep their unit."""
        spread = scores_N.double().std(correction=0)
        self.centre.copy_(scores_N.double().mean())
        if float(spread) > 0:
            self.spread.copy_(spread)

    @property
    def settings(self) -> dict[str, Any]:
        """All that `from_settings` needs to build the same head, as JSON values."""
        return {"inputs": self.inputs}

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> RewardHead:
        """An untrained head as `settings` describes it.

        Raises:
            InputError: a key is missing or of the wrong kind.
        """
        try:
            return cls(int(settings["inputs"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the head's settings are broken: {error}", fix="copy them again from the run") from None


def reward_head(model: nn.Module) -> RewardHead:
    """The reward head on `model`.

    Raises:
        InputError: it has none.
    """
    heads = model.get_submodule("heads")
    if not isinstance(heads, nn.ModuleDict) or REWARD not in heads:
        raise InputError("this model has no reward head", fix="take a run of objective reward")
    head = heads[REWARD]
    assert isinstance(head, RewardHead)
    return head
