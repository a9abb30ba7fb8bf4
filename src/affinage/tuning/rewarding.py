"""The reward model's part of a run: a head on the hidden state of each completion's last token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from affinage.evaluation.rewards import reward_values
from affinage.models.adapted import AdaptedModel
from affinage.models.completions import Floats
from affinage.models.encoded_groups import EncodedGroups
from affinage.models.encodings import Vectors, encode_rows
from affinage.models.reward_head import REWARD, RewardHead, reward_head
from affinage.store.arrays import ArrayCache
from affinage.training.reporting import Reporter
from affinage.tuning.fit import Source
from affinage.tuning.preference import PreferenceWork
from affinage.tuning.prepared import Prepared

STANDARDISED_ON = 500  # records whose completions fix the scale of a moving network's hidden states


class RewardWork(PreferenceWork):
    """See `affinage.tuning.work.Work`. While the network is frozen it is run once a completion, and never again."""

    def __init__(self, prepared: Prepared, reporter: Reporter) -> None:
        super().__init__(prepared, reporter)
        self.frozen = prepared.train == "head"
        self.passes = {"done": 0, "avoided": 0}  # of completions through the frozen network
        self._vectors: dict[int, Vectors] = {}  # of each record's completions (K, H)

    def heads(self) -> dict[str, nn.Module]:
        return {REWARD: RewardHead(self.prepared.base.width)}

    def before(self, model: AdaptedModel, numbers: Sequence[int]) -> None:
        return  # a new head has no before

    def batches(self, model: AdaptedModel, numbers: Sequence[int]) -> Source:
        plan, head = self.prepared.plan, reward_head(model)
        if not self.frozen:
            some = self._encoded(model, numbers[:STANDARDISED_ON])
            self._vectors.clear()  # the network moves from here on
            head.standardise(torch.from_numpy(np.concatenate(some)))
            return super().batches(model, numbers)
        vectors = self._encoded(model, numbers)
        head.standardise(torch.from_numpy(np.concatenate(vectors)))
        return EncodedGroups(
            vectors, [self._at(number).ranks for number in numbers],
            batch_rows=plan["batch_rows"], epochs=plan["epochs"], seed=self.prepared.recipe.seed,
        )  # fmt: skip

    def rewards(self, model: AdaptedModel, numbers: Sequence[int]) -> list[Floats]:
        if self.frozen:
            return [self._of_head(model, vectors_KH) for vectors_KH in self._encoded(model, numbers)]
        with self.reporter.stage("scoring", len(numbers)) as advance:
            return reward_values(
                model, self.groups(numbers), budget=self.budget, pad_id=self.prepared.renderer.pad_id,
                progress=lambda done, total: advance(done),
            )  # fmt: skip

    def settle(self, model: AdaptedModel) -> None:
        """Centre the rewards on the validation rows (on the training rows where there are none)."""
        numbers = self.prepared.sides["validation"] or self.prepared.sides["train"]
        head = reward_head(model)
        head.fit(torch.from_numpy(np.concatenate(self.rewards(model, numbers)) + float(head.centre)))

    def samples(self, model: AdaptedModel) -> list[str]:
        chosen = self._sampled()
        return self.score(model, chosen).said() if chosen else []

    def extras(self, model: AdaptedModel) -> dict[str, Any]:
        return {"passes.json": self.passes} if self.frozen else {}

    @torch.no_grad()
    def _of_head(self, model: AdaptedModel, vectors_KH: Vectors) -> Floats:
        head = reward_head(model)
        found: Floats = head.answers(head(torch.from_numpy(vectors_KH).to(model.device))).double().cpu().numpy()
        return found

    def _encoded(self, model: AdaptedModel, numbers: Sequence[int]) -> list[Vectors]:
        """Hidden states of the last tokens of these records' completions (K, H), by record."""
        missing = [number for number in numbers if number not in self._vectors]
        if missing:
            rows = self.prepared.rows_at(missing)
            with self.reporter.stage("encoding", len(rows)) as advance:
                found = encode_rows(
                    model, rows, pooling="last", layer=None, budget=self.budget, pad_id=self.prepared.renderer.pad_id,
                    progress=lambda done, total: advance(done), cache=ArrayCache() if self.frozen else None,
                )  # fmt: skip
            self.passes["done"] += found.passes_done
            self.passes["avoided"] += found.passes_avoided
            sizes = [len(self.prepared.rows_of[self._at(number).id]) for number in missing]
            parts = np.split(found.vectors, np.cumsum(sizes)[:-1])
            self._vectors.update(zip(missing, parts, strict=True))
        return [self._vectors[number] for number in numbers]
