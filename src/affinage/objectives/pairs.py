"""Which completions of a batch are to be told apart, and what it costs: all pairs of one group with different ranks.

Shapes: B rows of a batch, P pairs.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from affinage.data.batches import Batch
from affinage.data.groups import GROUP, RANK

TERM = "pairs"


def pairs_of(batch: Batch) -> tuple[Tensor, Tensor]:
    """Rows of the better and of the worse completion of each pair (P,), group by group."""
    groups_B, ranks_B = batch.extras[GROUP], batch.extras[RANK]
    together_BB = (groups_B[:, None] == groups_B[None]) & (groups_B[:, None] >= 0)
    better_P, worse_P = (together_BB & (ranks_B[:, None] < ranks_B[None])).nonzero(as_tuple=True)
    return better_P, worse_P


def pair_loss(margins_P: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Per pair: minus the log-probability that the better one wins by this margin (Bradley & Terry, 1952).

    `label_smoothing`: the share of pairs that are taken to stand the wrong way round.
    """
    right_P = -functional.logsigmoid(margins_P)
    if not label_smoothing:
        return right_P
    return (1 - label_smoothing) * right_P - label_smoothing * functional.logsigmoid(-margins_P)


def pair_figures(rewards_B: Tensor, better_P: Tensor, worse_P: Tensor) -> dict[str, Tensor]:
    """Sums over pairs: those told the right way round (a tie is half of one), margins, and both sides' rewards."""
    better, worse = rewards_B[better_P].detach(), rewards_B[worse_P].detach()
    return {
        "accuracy": (better > worse).float().sum() + 0.5 * (better == worse).float().sum(),
        "margin": (better - worse).sum(),
        "chosen_reward": better.sum(),
        "rejected_reward": worse.sum(),
    }
