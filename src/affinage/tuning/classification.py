"""`classify`'s part of a run: a head on encodings, cached while the network is frozen, scored beside its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from affinage.data.batches import Batches
from affinage.data.targets import label_text
from affinage.evaluation.answers import encoding_logits, mean_loss_of, row_logits, score_logits
from affinage.evaluation.comparison import NAMES, Evaluation, compare_heads
from affinage.evaluation.forgetting import forgetting
from affinage.evaluation.growth import point
from affinage.evaluation.measures import MEASURES
from affinage.evaluation.scores import HeadScores
from affinage.models.adapted import AdaptedModel
from affinage.models.encodings import EncodedBatches, target_tensor
from affinage.models.heads import CLASSIFIER, classifier
from affinage.objectives.base import Objective
from affinage.training.reporting import Reporter
from affinage.tuning.encoded import EncodedRecords
from affinage.tuning.fit import Source
from affinage.tuning.labelled import LabelledRows
from affinage.tuning.language import score_general
from affinage.tuning.prepared import Prepared
from affinage.tuning.probes import Probes
from affinage.wiring import make_objective

STANDARDISED_ON = 2000  # rows that fix the scale of a moving network's encodings


class ClassificationWork:
    """See `affinage.tuning.work.Work`. While the network is frozen it is run once a text, and never again."""

    def __init__(self, prepared: Prepared, reporter: Reporter) -> None:
        self.prepared = prepared
        self.reporter = reporter
        self.objective: Objective = make_objective(prepared.objective, prepared.recipe)
        self.measure = MEASURES[prepared.task]
        self.frozen = prepared.train == "head"
        self.budget = 2 * int(prepared.plan["micro_tokens"])
        self.calibration: dict[str, Any] = {}
        self.frozen_scores: list[HeadScores] = []
        self._sources: list[EncodedBatches] = []
        self._rows = LabelledRows(prepared)
        self._encoded = EncodedRecords(prepared, reporter, frozen=self.frozen, budget=self.budget)
        self._probes = Probes(prepared, self.objective, self._rows, self._encoded)

    def heads(self) -> dict[str, nn.Module]:
        return {CLASSIFIER: self._probes.head()}

    def before(self, model: AdaptedModel, numbers: Sequence[int]) -> None:
        return  # a new head has no before

    def alternatives(self, model: AdaptedModel) -> None:
        return  # the head on the frozen model is measured fold by fold, in `batches`

    def batches(self, model: AdaptedModel, numbers: Sequence[int]) -> Source:
        plan, recipe = self.prepared.plan, self.prepared.recipe
        head, targets = classifier(model), self._rows.targets(numbers)
        head.start(target_tensor(targets))
        if self.frozen:
            self._choose_layer(model, numbers)
            vectors = self._encoded.of(model, numbers)
            head.layer = self._encoded.layer
            head.standardise(torch.from_numpy(vectors))
            size = plan["batch_rows"]
            source = EncodedBatches(vectors, targets, batch_rows=size, epochs=plan["epochs"], seed=recipe.seed)
            self._sources.append(source)
            return source
        self._frozen_alternative(model, numbers)
        head.standardise(torch.from_numpy(self._encoded.of(model, numbers[:STANDARDISED_ON])))
        self._encoded.forget()
        return Batches(
            self.prepared.rows_at(numbers),
            budget=plan["batch_tokens"],
            micro=plan["micro_tokens"],
            pad_id=self.prepared.renderer.pad_id,
            epochs=plan["epochs"],
            seed=recipe.seed,
        )

    def validation_loss(self, model: AdaptedModel) -> float:
        numbers = self.prepared.sides["validation"]
        return mean_loss_of(classifier(model), self._logits(model, numbers), self._rows.targets(numbers))

    def settle(self, model: AdaptedModel) -> None:
        """Fit temperature, thresholds or intervals on validation rows."""
        numbers = self.prepared.sides["validation"]
        if numbers and self.prepared.recipe.head.calibrate:
            logits_RC = self._logits(model, numbers)
            self.calibration = self.measure.calibrate(classifier(model), logits_RC, self._rows.targets(numbers))

    def score(self, model: AdaptedModel, numbers: Sequence[int]) -> HeadScores:
        return score_logits(classifier(model), self._logits(model, numbers), self._rows.targets(numbers))

    def join(self, parts: Sequence[HeadScores]) -> HeadScores:
        return parts[0].join(parts)

    def general(self, model: AdaptedModel) -> Any | None:
        if self.frozen or not self.prepared.base.causal:
            return None  # a frozen network forgets nothing; an encoder has no next token to foresee
        return score_general(model, self.prepared.renderer, self.budget)

    def forgotten(self, model: AdaptedModel) -> None:
        return None  # no general text can be replayed beside labels, so there is no budget to keep

    def sample_prompts(self) -> list[tuple[str, str]]:
        chosen = self.prepared.sides["held_out"][: self.prepared.recipe.samples]
        return [(record.text, label_text(record.label)) for record in map(self._rows.at, chosen)]

    def samples(self, model: AdaptedModel) -> list[str]:
        numbers = self.prepared.sides["held_out"][: self.prepared.recipe.samples]
        if not numbers:
            return []
        return self.score(model, numbers).said()

    def compare(self, before: Any | None, after: HeadScores, general: tuple[Any, Any] | None) -> Evaluation:
        folds = self.prepared.folds
        parts = [(self._others(part), part) for part in folds] or [
            (self.prepared.sides["train"], self.prepared.sides["held_out"])
        ]
        baselines = {
            name: after.join([rival(self._rows.sides(train, test)) for train, test in parts])
            for name, rival in self.measure.rivals.items()
        }
        if self.frozen_scores:
            baselines["head on the frozen model"] = after.join(self.frozen_scores)
        cost = forgetting(*general) if general else None
        return compare_heads(after, baselines=baselines, forgetting=cost, folds=len(folds) or None)

    def extras(self, model: AdaptedModel) -> dict[str, Any]:
        passes = self._encoded.passes
        passes["avoided"] += sum(1 for source in self._sources for _ in source.served())
        found: dict[str, Any] = {"passes.json": passes}
        if self.calibration:
            found["calibration.json"] = self.calibration
        if self.frozen and self.prepared.sides["held_out"]:
            whole = self.score(model, self.prepared.sides["held_out"])
            points = [*self._probes.curve(model), point(1.0, len(self.prepared.sides["train"]), whole)]
            found["curve.json"] = {"metric": whole.metric, "points": points}
            told = [f"{100 * p['share']:.0f} %: {p[whole.metric]['value']:.3f}" for p in points]
            self.reporter.note(f"{NAMES.get(whole.metric, whole.metric)} by share of the rows  {'   '.join(told)}")
        self.reporter.note(f"forward passes: {passes['done']:,} done, {passes['avoided']:,} avoided")
        return found

    def _choose_layer(self, model: AdaptedModel, numbers: Sequence[int]) -> None:
        """Take the layer on which a head does best on the validation rows."""
        reason = self._probes.choose_layer(model, numbers)
        if not reason:
            return
        layer = self._encoded.layer
        name = "the last block" if layer is None else f"block {layer} of {self.prepared.base.blocks}"
        self.prepared.plan.settings["head.layer"] = (layer, reason)
        self.reporter.note(f"the head stands on {name} ({reason})")

    def _frozen_alternative(self, model: AdaptedModel, numbers: Sequence[int]) -> None:
        """What a head on the untouched network reaches: the cheap alternative to moving it."""
        held_out = self._held_out_of(numbers)
        if held_out:
            self.frozen_scores.append(self._probes.scores(model, numbers, held_out))

    def _logits(self, model: AdaptedModel, numbers: Sequence[int]) -> NDArray[np.float64]:
        """Logits (R, C) of these records, from cached encodings while the network is frozen."""
        if self.frozen:
            return encoding_logits(model, self._encoded.of(model, numbers))
        rows = self.prepared.rows_at(numbers)
        return row_logits(model, rows, budget=self.budget, pad_id=self.prepared.renderer.pad_id)

    def _held_out_of(self, numbers: Sequence[int]) -> list[int]:
        """The held-out records that belong to this training side (a fold's own, or the run's)."""
        chosen = set(numbers)
        for part in self.prepared.folds:
            if not chosen.intersection(part):
                return part
        return self.prepared.sides["held_out"]

    def _others(self, part: Sequence[int]) -> list[int]:
        out = set(part)
        return [number for number in range(len(self.prepared.records)) if number not in out]
