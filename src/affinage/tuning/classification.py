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
from affinage.evaluation.baselines import majority, tfidf_logistic
from affinage.evaluation.calibration import Calibration, fit_temperature
from affinage.evaluation.classification import ClassScores, encoding_logits, learning_curve, score_encodings, score_rows
from affinage.evaluation.comparison import Evaluation, compare_classes
from affinage.evaluation.forgetting import forgetting
from affinage.models.adapted import AdaptedModel
from affinage.models.encodings import EncodedBatches, Vectors, encode_layers, encoded_batch
from affinage.models.heads import CLASSIFIER, ClassifierHead, classifier, head_defaults
from affinage.objectives.base import Objective
from affinage.store import ArrayCache
from affinage.training.heads import HeadFit, fit_head, mean_loss
from affinage.training.reporting import Reporter
from affinage.tuning.fit import Source
from affinage.tuning.language import score_general
from affinage.tuning.prepare import Prepared
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
        self.frozen = prepared.train == "head"
        self.budget = 2 * int(prepared.plan["micro_tokens"])
        self.cache = ArrayCache()
        self.passes = {"done": 0, "avoided": 0}
        self.calibration: Calibration | None = None
        self.frozen_hits: list[NDArray[np.float64]] = []
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
        if self.frozen:
            self._choose_layer(model, numbers)
            vectors = self._encode(model, numbers)
            head = classifier(model)
            head.layer = self.layers[self.place]
            head.standardise(torch.from_numpy(vectors))
            targets, size = self._targets(numbers), plan["batch_rows"]
            source = EncodedBatches(vectors, targets, batch_rows=size, epochs=plan["epochs"], seed=recipe.seed)
            self._sources.append(source)
            return source
        self._frozen_alternative(model, numbers)
        classifier(model).standardise(torch.from_numpy(self._encode(model, numbers[:STANDARDISED_ON])))
        self._vectors.clear()  # the network moves from here on
        return Batches(
            self.prepared.rows_at(numbers), budget=plan["micro_tokens"], pad_id=self.prepared.renderer.pad_id,
            epochs=plan["epochs"], seed=recipe.seed,
        )  # fmt: skip

    def validation_loss(self, model: AdaptedModel) -> float:
        numbers = self.prepared.sides["validation"]
        if self.frozen:
            vectors = torch.from_numpy(self._encode(model, numbers))
            return mean_loss(model, self.objective, encoded_batch(vectors, torch.from_numpy(self._targets(numbers))))
        return self.score(model, numbers).log_loss.value

    def settle(self, model: AdaptedModel) -> None:
        """Fit the temperature on validation rows."""
        numbers = self.prepared.sides["validation"]
        if not numbers or not self.prepared.recipe.head.calibrate:
            return
        head = classifier(model)
        if self.frozen:
            logits = encoding_logits(model, self._encode(model, numbers))
        else:
            logits = np.log(np.maximum(self.score(model, numbers).probabilities_RC, 1e-30))
        self.calibration = fit_temperature(logits, self._targets(numbers))
        head.temperature.fill_(self.calibration.temperature)

    def score(self, model: AdaptedModel, numbers: Sequence[int]) -> ClassScores:
        if self.frozen:
            return score_encodings(model, self._encode(model, numbers), self._targets(numbers))
        rows = self.prepared.rows_at(numbers)
        return score_rows(model, rows, budget=self.budget, pad_id=self.prepared.renderer.pad_id)

    def join(self, parts: Sequence[ClassScores]) -> ClassScores:
        return ClassScores.join(parts)

    def general(self, model: AdaptedModel) -> Any | None:
        if self.frozen or not self.prepared.base.causal:
            return None  # a frozen network forgets nothing; an encoder has no next token to foresee
        return score_general(model, self.prepared.renderer, self.budget)

    def sample_prompts(self) -> list[tuple[str, str]]:
        chosen = self._samples()
        return [(record.text, record.label) for record in chosen]

    def samples(self, model: AdaptedModel) -> list[str]:
        numbers = self.prepared.sides["held_out"][: self.prepared.recipe.samples]
        if not numbers:
            return []
        scores = self.score(model, numbers)
        best = scores.probabilities_RC.argmax(axis=1)
        shares = scores.probabilities_RC.max(axis=1)
        return [f"{self.prepared.labels[b]} ({100 * p:.0f} %)" for b, p in zip(best, shares, strict=True)]

    def compare(self, before: Any | None, after: ClassScores, general: tuple[Any, Any] | None) -> Evaluation:
        folds = self.prepared.folds
        parts = [(self._others(part), part) for part in folds] or [
            (self.prepared.sides["train"], self.prepared.sides["held_out"])
        ]
        baselines = {
            "majority class": np.concatenate([self._majority(train, test) for train, test in parts]),
            "tf-idf + logistic regression": np.concatenate([self._tfidf(train, test) for train, test in parts]),
        }
        if self.frozen_hits:
            baselines["head on the frozen model"] = np.concatenate(self.frozen_hits)
        cost = forgetting(*general) if general else None
        return compare_classes(after, baselines=baselines, forgetting=cost, folds=len(folds) or None)

    def extras(self, model: AdaptedModel) -> dict[str, Any]:
        self.passes["avoided"] += sum(1 for source in self._sources for _ in source.served())
        found: dict[str, Any] = {"passes.json": self.passes}
        if self.calibration:
            found["calibration.json"] = self.calibration.to_json()
        if self.frozen and self.prepared.sides["held_out"]:
            found["curve.json"] = {"points": [*self._curve(model), self._whole(model)]}
            points = [f"{100 * p['share']:.0f} %: {p['accuracy']['value']:.3f}" for p in found["curve.json"]["points"]]
            self.reporter.note(f"accuracy by share of the rows  {'   '.join(points)}")
        self.reporter.note(f"forward passes: {self.passes['done']:,} done, {self.passes['avoided']:,} avoided")
        return found

    def _new_head(self) -> ClassifierHead:
        recipe = self.prepared.recipe
        return ClassifierHead(
            self.prepared.labels, self.prepared.base.width, recipe.head,
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
        probe = self._probe(model)
        self._fit_probe(probe, numbers)
        self.frozen_hits.append(score_encodings(probe, self._encode(model, held_out), self._targets(held_out)).hits_R)

    def _probe(self, model: AdaptedModel) -> AdaptedModel:
        """The model's network, frozen, under a fresh head."""
        return AdaptedModel(model.network, causal=model.causal, heads={CLASSIFIER: self._new_head().to(model.device)})

    def _fit_probe(self, probe: AdaptedModel, numbers: Sequence[int]) -> HeadFit:
        """Fit the probe's head as the run's own would be."""
        vectors = self._encode(probe, numbers)
        classifier(probe).standardise(torch.from_numpy(vectors))
        validation = self.prepared.sides["validation"]
        checked = (self._encode(probe, validation), self._targets(validation)) if validation else None
        defaults = head_defaults(len(numbers), len(self.prepared.labels), self.prepared.base.width)
        return fit_head(
            probe, self.objective, vectors, self._targets(numbers), checked, defaults, seed=self.prepared.recipe.seed
        )

    def _curve(self, model: AdaptedModel) -> list[dict[str, Any]]:
        train, held_out = self.prepared.sides["train"], self.prepared.sides["held_out"]

        def refit(chosen: NDArray[np.int64]) -> Any:
            probe = self._probe(model)
            self._fit_probe(probe, [train[number] for number in chosen])
            return score_encodings(probe, self._encode(model, held_out), self._targets(held_out)).probabilities_RC

        return learning_curve(
            refit,
            self._targets(train),
            self._targets(held_out),
            self.prepared.labels,
            shares=PARTS,
            seed=self.prepared.recipe.seed,
        )

    def _whole(self, model: AdaptedModel) -> dict[str, Any]:
        """The last point of the curve: the run's own head, on all rows."""
        accuracy = self.score(model, self.prepared.sides["held_out"]).accuracy
        return {"share": 1.0, "rows": len(self.prepared.sides["train"]), "accuracy": accuracy.to_json()}

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

    def _targets(self, numbers: Sequence[int]) -> NDArray[np.int64]:
        index = {label: number for number, label in enumerate(self.prepared.labels)}
        return np.array([index[self._labelled(number).label] for number in numbers], np.int64)

    def _texts(self, numbers: Sequence[int]) -> list[str]:
        return [self._labelled(number).text for number in numbers]

    def _labelled(self, number: int) -> Labelled:
        record = self.prepared.records[number]
        assert isinstance(record, Labelled)
        return record

    def _samples(self) -> list[Labelled]:
        return [self._labelled(n) for n in self.prepared.sides["held_out"][: self.prepared.recipe.samples]]

    def _majority(self, train: Sequence[int], test: Sequence[int]) -> NDArray[np.float64]:
        return majority(self._targets(train), self._targets(test), self.prepared.labels).hits_R

    def _tfidf(self, train: Sequence[int], test: Sequence[int]) -> NDArray[np.float64]:
        return tfidf_logistic(
            self._texts(train), self._targets(train), self._texts(test), self._targets(test),
            self.prepared.labels, seed=self.prepared.recipe.seed,
        ).hits_R  # fmt: skip
