"""The part of a run that learns from comparisons, scored by the pairs it puts in order; DPO's own share of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import nn

from affinage.data.groups import RANK, Group, GroupBatches
from affinage.data.records import Preference
from affinage.data.wording import said
from affinage.evaluation.comparison import Evaluation, compare_heads
from affinage.evaluation.forgetting import forgetting
from affinage.evaluation.preference_baselines import RIVALS, Compared
from affinage.evaluation.preferences import PreferenceScores, undecided
from affinage.models.adapted import AdaptedModel
from affinage.models.completions import Floats, completion_values
from affinage.models.reference import reference_logprobs
from affinage.objectives.base import Objective
from affinage.objectives.preference import REFERENCE
from affinage.store.arrays import ArrayCache
from affinage.training.reporting import Reporter
from affinage.tuning.fit import Source
from affinage.tuning.language import score_general, written
from affinage.tuning.prepared import Prepared
from affinage.wiring import make_objective


class PreferenceWork(ABC):
    """See `affinage.tuning.work.Work`; scores are rewards of every completion of some records."""

    def __init__(self, prepared: Prepared, reporter: Reporter) -> None:
        self.prepared = prepared
        self.reporter = reporter
        self.objective: Objective = make_objective(prepared.objective, prepared.recipe)
        self.budget = 2 * int(prepared.plan["micro_tokens"])

    @abstractmethod
    def heads(self) -> dict[str, nn.Module]: ...

    @abstractmethod
    def before(self, model: AdaptedModel, numbers: Sequence[int]) -> PreferenceScores | None: ...

    @abstractmethod
    def rewards(self, model: AdaptedModel, numbers: Sequence[int]) -> list[Floats]:
        """What each completion of these records is worth to the model, by record."""

    @abstractmethod
    def settle(self, model: AdaptedModel) -> None: ...

    @abstractmethod
    def samples(self, model: AdaptedModel) -> list[str]: ...

    def alternatives(self, model: AdaptedModel) -> None:
        return  # what costs nearly nothing needs no model: see `compare`

    def batches(self, model: AdaptedModel, numbers: Sequence[int]) -> Source:
        plan = self.prepared.plan
        return GroupBatches(
            self.groups(numbers), budget=plan["batch_tokens"], micro=plan["micro_tokens"],
            pad_id=self.prepared.renderer.pad_id, epochs=plan["epochs"], seed=self.prepared.recipe.seed,
        )  # fmt: skip

    def groups(self, numbers: Sequence[int]) -> list[Group]:
        """The rows of these records, with their ranks."""
        return [
            Group(tuple(self.prepared.rows_of[record.id]), {RANK: record.ranks}) for record in map(self._at, numbers)
        ]

    def validation_loss(self, model: AdaptedModel) -> float:
        return self.score(model, self.prepared.sides["validation"]).loss(self.prepared.recipe.dpo.label_smoothing)

    def score(self, model: AdaptedModel, numbers: Sequence[int]) -> PreferenceScores:
        return PreferenceScores(self.rewards(model, numbers), [self._at(number).ranks for number in numbers])

    def join(self, parts: Sequence[PreferenceScores]) -> PreferenceScores:
        return PreferenceScores.join(parts)

    def general(self, model: AdaptedModel) -> Any | None:
        if self.prepared.train == "head" or not self.prepared.base.causal:
            return None  # a frozen network forgets nothing; an encoder has no next token to foresee
        return score_general(model, self.prepared.renderer, self.budget)

    def forgotten(self, model: AdaptedModel) -> None:
        return None  # no general text can be replayed beside comparisons, so there is no budget to keep

    def sample_prompts(self) -> list[tuple[str, str]]:
        return [
            ("\n".join(f"{turn.role}: {said(turn)}" for turn in record.messages), said(record.best))
            for record in map(self._at, self._sampled())
        ]

    def compare(
        self, before: PreferenceScores | None, after: PreferenceScores, general: tuple[Any, Any] | None
    ) -> Evaluation:
        folds, sides = self.prepared.folds, self.prepared.sides
        parts = [(self._others(part), part) for part in folds] or [(sides["train"], sides["held_out"])]
        compared = [Compared(self._records(train), self._records(test)) for train, test in parts]
        baselines = {name: after.join([rival(one) for one in compared]) for name, rival in RIVALS.items()}
        cost = forgetting(*general) if general else None
        return compare_heads(
            after,
            baselines={**baselines, **self.rivals(parts)},
            before=before,
            forgetting=cost,
            folds=len(folds) or None,
        )

    def rivals(self, parts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> dict[str, PreferenceScores]:
        """Further baselines on the (training, held-out) records of each part."""
        return {}

    def extras(self, model: AdaptedModel) -> dict[str, Any]:
        return {}

    def _at(self, number: int) -> Preference:
        record = self.prepared.records[number]
        assert isinstance(record, Preference)
        return record

    def _records(self, numbers: Sequence[int]) -> list[Preference]:
        return [self._at(number) for number in numbers]

    def _sampled(self) -> list[int]:
        return self.prepared.sides["held_out"][: self.prepared.recipe.samples]

    def _others(self, part: Sequence[int]) -> list[int]:
        out = set(part)
        return [number for number in range(len(self.prepared.records)) if number not in out]


class DPOWork(PreferenceWork):
    """Rewards are implicit: beta x how much more likely a completion has become since before the tuning."""

    def __init__(self, prepared: Prepared, reporter: Reporter) -> None:
        super().__init__(prepared, reporter)
        self.beta = prepared.recipe.dpo.beta
        self.reference: list[Floats] = []  # by record
        self.passes = {"done": 0, "avoided": 0}

    def heads(self) -> dict[str, nn.Module]:
        return {}

    def before(self, model: AdaptedModel, numbers: Sequence[int]) -> PreferenceScores | None:
        """What the untouched model thinks of every record; against that its own rewards are all nothing."""
        everything = range(len(self.prepared.records))
        with self.reporter.stage("asking the reference", len(everything)) as advance:
            found = reference_logprobs(
                model, self.groups(everything), budget=self.budget, pad_id=self.prepared.renderer.pad_id,
                cache=ArrayCache(), progress=lambda done, total: advance(done),
            )  # fmt: skip
        self.reference, self.passes = found.values, {"done": found.computed, "avoided": found.reused}
        broken = f"; {found.broken:,} broken cache files were computed again" if found.broken else ""
        self.reporter.note(f"reference: {found.computed:,} answers asked now, {found.reused:,} from the cache{broken}")
        if not numbers:
            return None
        return undecided(PreferenceScores([self.reference[n] for n in numbers], [self._at(n).ranks for n in numbers]))

    def groups(self, numbers: Sequence[int]) -> list[Group]:
        groups = super().groups(numbers)
        if not self.reference:
            return groups
        return [
            Group(group.rows, {**group.values, REFERENCE: self.reference[number].tolist()})
            for group, number in zip(groups, numbers, strict=True)
        ]

    def rewards(self, model: AdaptedModel, numbers: Sequence[int]) -> list[Floats]:
        with self.reporter.stage("scoring", len(numbers)) as advance:
            policy = completion_values(
                model, self.groups(numbers), model.row_logprobs, budget=self.budget,
                pad_id=self.prepared.renderer.pad_id, progress=lambda done, total: advance(done),
            )  # fmt: skip
        return [self.beta * (now - self.reference[n]) for now, n in zip(policy, numbers, strict=True)]

    def settle(self, model: AdaptedModel) -> None:
        return

    def samples(self, model: AdaptedModel) -> list[str]:
        renderer = self.prepared.renderer
        return written(model, renderer, [renderer.prompt(self._at(number).messages) for number in self._sampled()])

    def rivals(self, parts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> dict[str, PreferenceScores]:
        tested = [number for _, test in parts for number in test]
        likelihoods = [self.reference[number] for number in tested]
        return {"the base's own likelihood": PreferenceScores(likelihoods, [self._at(n).ranks for n in tested])}

    def extras(self, model: AdaptedModel) -> dict[str, Any]:
        return {"passes.json": self.passes}
