"""Direct preference optimisation (Rafailov et al., 2023): the policy itself is the reward model.

Its implicit reward for a completion is beta x (log-probability under the policy - under the reference). Before
training the two are the same, so every reward is 0 and the loss log 2.
"""

from __future__ import annotations

from affinage.data.batches import Batch
from affinage.data.records import Preference, Record
from affinage.models.adapted import AdaptedModel
from affinage.objectives.base import Loss, Term
from affinage.objectives.pairs import TERM, pair_figures, pair_loss, pairs_of

REFERENCE = "reference"  # extra: each completion's log-probability under the reference (B,)


class DPOObjective:
    """The sigmoid loss over pairs of a prompt's completions. A batch carries the reference's log-probabilities.

    Args:
        beta: how dearly the policy pays for leaving the reference.
        label_smoothing: the share of pairs that are taken to stand the wrong way round.
    """

    eats: tuple[type[Record], ...] = (Preference,)
    heads: tuple[str, ...] = ()
    needs_reference = True

    def __init__(self, beta: float = 0.1, label_smoothing: float = 0.0) -> None:
        self.beta = beta
        self.label_smoothing = label_smoothing

    def weigh(self, batch: Batch) -> dict[str, float]:
        return {TERM: float(len(pairs_of(batch)[0]))}

    def __call__(self, model: AdaptedModel, batch: Batch) -> Loss:
        better_P, worse_P = pairs_of(batch)
        policy_B = model.row_logprobs(batch)
        rewards_B = self.beta * (policy_B - batch.extras[REFERENCE])
        losses_P = pair_loss(rewards_B[better_P] - rewards_B[worse_P], self.label_smoothing)
        return Loss((Term(TERM, losses_P.sum()),), pair_figures(rewards_B, better_P, worse_P))
