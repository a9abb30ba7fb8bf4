"""`classify`'s part of a run: a head on encodings, cached while the network is frozen, scored beside its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from affinage.data.batches import Batches
from affinage.data.records import Labelled
from affinage.data.targets import label_text, target_array
from affinage.evaluation.answers import encoding_logits, mean_loss_of, row_logits, score_encodings, score_logits
from affinage.evaluation.comparison import NAMES, Evaluation, compare_heads
from affinage.evaluation.forgetting import forgetting
from affinage.evaluation.growth import learning_curve, point
from affinage.evaluation.measures import MEASURES, Sides
from affinage.evaluation.scores import HeadScores
from affinage.models.adapted import AdaptedModel
from affinage.models.encodings import EncodedBatches, Vectors, encode_layers, target_tensor
from affinage.models.heads import CLASSIFIER, ClassifierHead, classifier, head_defaults
from affinage.objectives.base import Objective
from affinage.store import ArrayCache
from affinage.training.heads import HeadFit, fit_head
from affinage.training.reporting import Reporter
from affinage.tuning.fit import Source
from affinage.tuning.language import score_general
from affinage.tuning.prepared import Prepared
from affinage.wiring import make_objective

DEPTHS = (0.4, 0.6, 0.8)  # of the blocks: layers to choose from beside the last
ENOUGH = 20  # validation rows that can choose a layer
PARTS = (0.1, 0.25, 0.5)  # of the training rows, before all of them
STANDARDISED_ON = 2000  # rows that fix the scale of a moving network's encodings


class ClassificationWork:
    """See `affinage.tuning.work.Work`. While the network is frozen it is run once a text, and never again."""

    def __init__(self, prepared: Prepared, reporter: Reporter) -> None:
        self.prepared = prepared
        self.reporter = reporter
        self.objective: Objective = make_objective(prepared.objective, prepared.recipe)
        self.task = prepared.task
        self.measure = MEASURES[self.task]
        self.frozen = prepared.train == "head"
        self.budget = 2 * int(prepared.plan["micro_tokens"])
        self.cache = ArrayCache()
        self.passes = {"done": 0, "avoided": 0}
        self.calibration: dict[str, Any] = {}
        self.frozen_scores: list[HeadScores] = []
        self.layers = self._candidates()
        self.place = len(self.layers) - 1  # which of `layers` feeds the head
        self._vectors: dict[int, Any] = {}
        self._sources: list[EncodedBatches] = []

    def heads(self) -> dict[str, nn.Module]:
        return {CLASSIFIER: self._new_head()}

    def alternatives(self, model: AdaptedModel) -> None:
        return  # the head on the frozen model is measured fold by fold, in `batches`

    def batches(self, model: AdaptedModel, numbers: Sequence[int]) -> Source:
        plan, recipe = self.prepared.plan, self.prepared.recipe
        head, targets = classifier(model), self._targets(numbers)
        head.start(target_tensor(targets))
        if self.frozen:
            self._choose_layer(model, numbers)
            vectors = self._encode(model, numbers)
            head.layer = self.layers[self.place]
            head.standardise(torch.from_numpy(vectors))
            size = plan["batch_rows"]
            source = EncodedBatches(vectors, targets, batch_rows=size, epochs=plan["epochs"], seed=recipe.seed)
            self._sources.append(source)
            return source
        self._frozen_alternative(model, numbers)
        head.standardise(torch.from_numpy(self._encode(model, numbers[:STANDARDISED_ON])))
        self._vectors.clear()  # the network moves from here on
        return Batches(
            self.prepared.rows_at(numbers), budget=plan["micro_tokens"], pad_id=self.prepared.renderer.pad_id,
            epochs=plan["epochs"], seed=recipe.seed,
        )  # fmt: skip

    def validation_loss(self, model: AdaptedModel) -> float:
        numbers = self.prepared.sides["validation"]
        return mean_loss_of(classifier(model), self._logits(model, numbers), self._targets(numbers))

    def settle(self, model: AdaptedModel) -> None:
        """Fit temperature, thresholds or intervals on validation rows."""
        numbers = self.prepared.sides["validation"]
        if numbers and self.prepared.recipe.head.calibrate:
            logits_RC = self._logits(model, numbers)
            self.calibration = self.measure.calibrate(classifier(model), logits_RC, self._targets(numbers))

    def score(self, model: AdaptedModel, numbers: Sequence[int]) -> HeadScores:
        return score_logits(classifier(model), self._logits(model, numbers), self._targets(numbers))

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
        return [(record.text, label_text(record.label)) for record in map(self._labelled, chosen)]

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
            name: after.join([rival(self._two_sides(train, test)) for train, test in parts])
            for name, rival in self.measure.rivals.items()
        }
        if self.frozen_scores:
            baselines["head on the frozen model"] = after.join(self.frozen_scores)
        cost = forgetting(*general) if general else None
        return compare_heads(after, baselines=baselines, forgetting=cost, folds=len(folds) or None)

    def extras(self, model: AdaptedModel) -> dict[str, Any]:
        self.passes["avoided"] += sum(1 for source in self._sources for _ in source.served())
        found: dict[str, Any] = {"passes.json": self.passes}
        if self.calibration:
            found["calibration.json"] = self.calibration
        if self.frozen and self.prepared.sides["held_out"]:
            whole = self.score(model, self.prepared.sides["held_out"])
            points = [*self._curve(model), point(1.0, len(self.prepared.sides["train"]), whole)]
            found["curve.json"] = {"metric": whole.metric, "points": points}
            told = [f"{100 * p['share']:.0f} %: {p[whole.metric]['value']:.3f}" for p in points]
            self.reporter.note(f"{NAMES.get(whole.metric, whole.metric)} by share of the rows  {'   '.join(told)}")
        self.reporter.note(f"forward passes: {self.passes['done']:,} done, {self.passes['avoided']:,} avoided")
        return found

    def _new_head(self) -> ClassifierHead:
        recipe = self.prepared.recipe
        return ClassifierHead(
            self.prepared.labels, self.prepared.base.width, recipe.head.model_copy(update={"task": self.task}),
            pooling=recipe.head.pooling or "mean", layer=recipe.head.layer,
        )  # fmt: skip

    def _candidates(self) -> list[int | None]:
        """Layers that may feed the head, the last one last: the asked for, or a few to choose from by measurement."""
        asked, blocks = self.prepared.recipe.head.layer, self.prepared.base.blocks
        if asked is not None or not self.frozen or len(self.prepared.sides["validation"]) < ENOUGH:
            return [asked]
        return [*sorted({round(share * blocks) for share in DEPTHS} - {0, blocks}), None]

    def _choose_layer(self, model: AdaptedModel, numbers: Sequence[int]) -> None:
        """Take the layer on which a head does best on the validation rows."""
        if len(self.layers) == 1:
            return
        losses = []
        for place in range(len(self.layers)):
            self.place = place
            losses.append(self._fit_probe(self._probe(model), numbers).validation_loss)
        self.place = int(np.argmin(losses))
        layer = self.layers[self.place]
        name = "the last block" if layer is None else f"block {layer} of {self.prepared.base.blocks}"
        reason = f"validation loss {losses[self.place]:.3f}, the last block's {losses[-1]:.3f}"
        self.prepared.plan.settings["head.layer"] = (layer, reason)
        self.reporter.note(f"the head stands on {name} ({reason})")

    def _encode(self, model: AdaptedModel, numbers: Sequence[int]) -> Vectors:
        """Encodings of these records at the chosen layer; texts met before are not run again."""
        missing = [number for number in numbers if number not in self._vectors]
        if missing:
            with self.reporter.stage("encoding", len(missing)) as advance:
                found = encode_layers(
                    model, self.prepared.rows_at(missing), pooling=self.prepared.recipe.head.pooling or "mean",
                    layers=self.layers, budget=self.budget, pad_id=self.prepared.renderer.pad_id,
                    progress=lambda done, total: advance(done), cache=self.cache if self.frozen else None,
                )  # fmt: skip
            self.passes["done"] += found.passes_done
            self.passes["avoided"] += found.passes_avoided
            self._vectors.update(zip(missing, found.vectors, strict=True))
        self.passes["avoided"] += len(numbers) - len(missing)
        return np.stack([self._vectors[number][self.place] for number in numbers])

    def _frozen_alternative(self, model: AdaptedModel, numbers: Sequence[int]) -> None:
        """What a head on the untouched network reaches: the cheap alternative to moving it."""
        held_out = self._held_out_of(numbers)
        if not held_out:
            return
        probe = self._calibrated_probe(model, numbers)
        self.frozen_scores.append(score_encodings(probe, self._encode(model, held_out), self._targets(held_out)))

    def _probe(self, model: AdaptedModel) -> AdaptedModel:
        """The model's network, frozen, under a fresh head."""
        return AdaptedModel(model.network, causal=model.causal, heads={CLASSIFIER: self._new_head().to(model.device)})

    def _fit_probe(self, probe: AdaptedModel, numbers: Sequence[int]) -> HeadFit:
        """Fit the probe's head as the run's own would be."""
        vectors, targets = self._encode(probe, numbers), self._targets(numbers)
        head = classifier(probe)
        head.start(target_tensor(targets))
        head.standardise(torch.from_numpy(vectors))
        validation = self.prepared.sides["validation"]
        checked = (self._encode(probe, validation), self._targets(validation)) if validation else None
        defaults = head_defaults(len(numbers), head.outputs, self.prepared.base.width)
        return fit_head(probe, self.objective, vectors, targets, checked, defaults, seed=self.prepared.recipe.seed)

    def _calibrated_probe(self, model: AdaptedModel, numbers: Sequence[int]) -> AdaptedModel:
        """A fresh head on the frozen network, fitted and calibrated as the run's own would be."""
        probe = self._probe(model)
        self._fit_probe(probe, numbers)
        validation = self.prepared.sides["validation"]
        if validation and self.prepared.recipe.head.calibrate:
            logits_RC = encoding_logits(probe, self._encode(probe, validation))
            self.measure.calibrate(classifier(probe), logits_RC, self._targets(validation))
        return probe

    def _curve(self, model: AdaptedModel) -> list[dict[str, Any]]:
        train, held_out = self.prepared.sides["train"], self.prepared.sides["held_out"]

        def refit(chosen: NDArray[np.int64]) -> HeadScores:
            probe = self._calibrated_probe(model, [train[number] for number in chosen])
            return score_encodings(probe, self._encode(model, held_out), self._targets(held_out))

        strata = self.measure.strata(self._targets(train))
        return learning_curve(refit, strata, shares=PARTS, seed=self.prepared.recipe.seed)

    def _logits(self, model: AdaptedModel, numbers: Sequence[int]) -> NDArray[np.float64]:
        """Logits (R, C) of these records, from cached encodings while the network is frozen."""
        if self.frozen:
            return encoding_logits(model, self._encode(model, numbers))
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

    def _targets(self, numbers: Sequence[int]) -> NDArray[Any]:
        return target_array([self._labelled(number) for number in numbers], self.prepared.labels, self.task)

    def _two_sides(self, train: Sequence[int], test: Sequence[int]) -> Sides:
        return Sides(
            self._texts(train), self._targets(train), self._texts(test), self._targets(test),
            self.prepared.labels, self.prepared.recipe.seed,
        )  # fmt: skip

    def _texts(self, numbers: Sequence[int]) -> list[str]:
        return [self._labelled(number).text for number in numbers]

    def _labelled(self, number: int) -> Labelled:
        record = self.prepared.records[number]
        assert isinstance(record, Labelled)
        return record
