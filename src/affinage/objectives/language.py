"""Next-token objectives: `pretrain` on texts and `sft` on chats are one function on different rows."""

from __future__ import annotations

from affinage.data.batches import Batch
from affinage.data.records import Chat, Record, Text
from affinage.models.adapted import AdaptedModel
from affinage.objectives.base import Loss, Term


class LanguageObjective:
    """Negative log-likelihood of the learned tokens, averaged over their weights."""

    heads: tuple[str, ...] = ()
    needs_reference = False

    def __init__(self, eats: tuple[type[Record], ...] = (Text, Chat)) -> None:
        self.eats = eats

    def weigh(self, batch: Batch) -> dict[str, float]:
        return {"nll": float(batch.weights_BT[:, 1:].sum())}

    def __call__(self, model: AdaptedModel, batch: Batch) -> Loss:
        return Loss((Term("nll", model.weighted_nll(batch)),))
