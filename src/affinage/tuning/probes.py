"""Fresh heads on the frozen network: what is reached without moving it, from which layer, and with how many rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from affinage.evaluation.answers import encoding_logits, score_encodings
from affinage.evaluation.growth import learning_curve
from affinage.evaluation.measures import MEASURES
from affinage.evaluation.scores import HeadScores
from affinage.models.adapted import AdaptedModel
from affinage.models.encodings import target_tensor
from affinage.models.heads import CLASSIFIER, ClassifierHead, classifier, head_defaults
from affinage.objectives.base import Objective
from affinage.training.heads import HeadFit, fit_head
from affinage.tuning.encoded import EncodedRecords
from affinage.tuning.labelled import LabelledRows
from affinage.tuning.prepared import Prepared

PARTS = (0.1, 0.25, 0.5)  # of the training rows, before all of them


class Probes:
    """Heads on the frozen network, each fitted as the run's own would be."""

    def __init__(self, prepared: Prepared, objective: Objective, rows: LabelledRows, encoded: EncodedRecords) -> None:
        self.prepared = prepared
        self.objective = objective
        self.measure = MEASURES[prepared.task]
        self.rows = rows
        self.encoded = encoded

    def head(self) -> ClassifierHead:
        """A fresh head as the recipe asks for it."""
        recipe = self.prepared.recipe
        return ClassifierHead(
            self.prepared.labels, self.prepared.base.width, recipe.head.model_copy(update={"task": self.prepared.task}),
            pooling=recipe.head.pooling or "mean", layer=recipe.head.layer,
        )  # fmt: skip

    def choose_layer(self, model: AdaptedModel, numbers: Sequence[int]) -> str:
        """Take the layer on which a head does best on the validation rows; why, or nothing where none can be chosen."""
        encoded = self.encoded
        if len(encoded.layers) == 1:
            return ""
        losses = []
        for place in range(len(encoded.layers)):
            encoded.place = place
            losses.append(self._fit(self._probe(model), numbers).validation_loss)
        encoded.place = int(np.argmin(losses))
        return f"validation loss {losses[encoded.place]:.3f}, the last block's {losses[-1]:.3f}"

    def scores(self, model: AdaptedModel, numbers: Sequence[int], held_out: Sequence[int]) -> HeadScores:
        """Scores on `held_out` of a head that was fitted on `numbers`, and calibrated if the run is."""
        probe = self._probe(model)
        self._fit(probe, numbers)
        validation = self.prepared.sides["validation"]
        if validation and self.prepared.recipe.head.calibrate:
            logits_RC = encoding_logits(probe, self.encoded.of(probe, validation))
            self.measure.calibrate(classifier(probe), logits_RC, self.rows.targets(validation))
        return score_encodings(probe, self.encoded.of(model, held_out), self.rows.targets(held_out))

    def curve(self, model: AdaptedModel) -> list[dict[str, Any]]:
        """Scores on the held-out rows from `PARTS` of the training rows."""
        train, held_out = self.prepared.sides["train"], self.prepared.sides["held_out"]

        def refit(chosen: NDArray[np.int64]) -> HeadScores:
            return self.scores(model, [train[number] for number in chosen], held_out)

        strata = self.measure.strata(self.rows.targets(train))
        return learning_curve(refit, strata, shares=PARTS, seed=self.prepared.recipe.seed)

    def _probe(self, model: AdaptedModel) -> AdaptedModel:
        """The model's network, frozen, under a fresh head."""
        return AdaptedModel(model.network, causal=model.causal, heads={CLASSIFIER: self.head().to(model.device)})

    def _fit(self, probe: AdaptedModel, numbers: Sequence[int]) -> HeadFit:
        vectors, targets = self.encoded.of(probe, numbers), self.rows.targets(numbers)
        head = classifier(probe)
        head.start(target_tensor(targets))
        head.standardise(torch.from_numpy(vectors))
        validation = self.prepared.sides["validation"]
        checked = (self.encoded.of(probe, validation), self.rows.targets(validation)) if validation else None
        defaults = head_defaults(len(numbers), head.outputs, self.prepared.base.width)
        return fit_head(probe, self.objective, vectors, targets, checked, defaults, seed=self.prepared.recipe.seed)
