"""Labels or a number for each text: the loss of a head on the model's pooled encodings, cached or computed."""

from __future__ import annotations

from torch import Tensor

from affinage.data.batches import Batch
from affinage.data.records import Labelled, Record
from affinage.models.adapted import AdaptedModel
from affinage.models.heads import CLASSIFIER, classifier, pool
from affinage.objectives.base import Loss, Term

TERM = "label"


class ClassifyObjective:
    """The head's own loss over rows. A batch that carries `encodings` skips the model; the head is the same either way.

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
        return {TERM: float(batch.tokens_BT.shape[0])}

    def __call__(self, model: AdaptedModel, batch: Batch) -> Loss:
        head, targets = classifier(model), batch.extras["targets"]
        logits_BC = self.logits(model, batch).float()
        figures = head.figures(logits_BC.detach(), targets)
        return Loss((Term(TERM, head.loss(logits_BC, targets)),), {head.task.figure: figures})

    def logits(self, model: AdaptedModel, batch: Batch) -> Tensor:
        """Logits (B, C), not yet scaled."""
        encodings = batch.extras.get("encodings")
        if encodings is None:
            encodings = pool(model.hidden(batch, self.layer), batch.mask_BT, self.pooling)
        logits: Tensor = classifier(model)(encodings)
        return logits
