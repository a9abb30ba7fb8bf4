"""One label per text: cross-entropy of a head on the model's pooled encodings, cached or computed."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from affinage.data.batches import Batch
from affinage.data.records import Labelled, Record
from affinage.models.adapted import AdaptedModel
from affinage.models.heads import CLASSIFIER, pool
from affinage.objectives.base import Loss, Term


class ClassifyObjective:
    """Cross-entropy over rows. A batch that carries `encodings` skips the model; the head is the same either way.

    Args:
        pooling: mean, last, first or max over a text's real tokens.
        layer: which block's encodings (0: the embeddings; None: the last).
    """

    eats: tuple[type[Record], ...] = (Labelled,)
    heads: tuple[str, ...] = (CLASSIFIER,)
    needs_reference = False

    def __init__(self, pooling: str = "mean", layer: int | None = None) -> None:
        self.pooling = pooling
        self.layer = layer

    def weigh(self, batch: Batch) -> dict[str, float]:
        return {"cross_entropy": float(batch.tokens_BT.shape[0])}

    def __call__(self, model: AdaptedModel, batch: Batch) -> Loss:
        logits_BC = self.logits(model, batch)
        targets_B = batch.extras["targets"].long()
        total = functional.cross_entropy(logits_BC.float(), targets_B, reduction="sum")
        hits = (logits_BC.detach().argmax(dim=-1) == targets_B).sum()
        return Loss((Term("cross_entropy", total),), {"accuracy": hits})

    def logits(self, model: AdaptedModel, batch: Batch) -> Tensor:
        """Logits (B, C), before the temperature."""
        encodings = batch.extras.get("encodings")
        if encodings is None:
            encodings = pool(model.hidden(batch, self.layer), batch.mask_BT, self.pooling)
        logits: Tensor = model.heads[CLASSIFIER](encodings)
        return logits
