"""A reward model: a number for each completion, learned from which of a prompt's completions people preferred."""

from __future__ import annotations

from torch import Tensor

from affinage.data.batches import Batch
from affinage.data.groups import GROUP
from affinage.data.records import Preference, Record
from affinage.models.adapted import AdaptedModel
from affinage.models.reward_head import REWARD, reward_head
from affinage.objectives.base import Loss, Term
from affinage.objectives.pairs import TERM, pair_figures, pair_loss, pairs_of


class RewardObjective:
    """Bradley-Terry over all pairs of one prompt with different ranks; one forward pass a completion.

    A batch that carries `encodings` skips the model; the head is the same either way.
    """

    eats: tuple[type[Record], ...] = (Preference,)
    heads: tuple[str, ...] = (REWARD,)
    needs_reference = False

    def weigh(self, batch: Batch) -> dict[str, float]:
        return {TERM: float(len(pairs_of(batch)[0]))}

    def __call__(self, model: AdaptedModel, batch: Batch) -> Loss:
        better_P, worse_P = pairs_of(batch)
        rewards_B = self.rewards(model, batch)
        losses_P = pair_loss(rewards_B[better_P] - rewards_B[worse_P])
        return Loss((Term(TERM, losses_P.sum()),), pair_figures(rewards_B, better_P, worse_P))

    def rewards(self, model: AdaptedModel, batch: Batch) -> Tensor:
        """Per row (B,), not yet centred: read at a completion's last real token; 0 for a prompt."""
        encodings_BH = batch.extras.get("encodings")
        if encodings_BH is not None:
            scores: Tensor = reward_head(model)(encodings_BH)
            return scores
        rows_C = (batch.extras[GROUP] >= 0).nonzero(as_tuple=True)[0]
        ends_C = batch.mask_BT.sum(1)[rows_C] - 1
        scores_C: Tensor = reward_head(model)(model.hidden_at(batch, rows_C, ends_C))
        return scores_C.new_zeros(len(batch.mask_BT)).index_copy(0, rows_C, scores_C)
