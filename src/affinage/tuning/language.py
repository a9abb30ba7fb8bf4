"""The language objectives' part of a run: blocks and chats scored by the likelihood of their learned tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from torch import nn

from affinage.data.batches import Batches, Row
from affinage.data.load import load_records
from affinage.data.records import Chat, Message, Record, Text
from affinage.data.rendering.renderer import Renderer
from affinage.data.streams.mixing import mix_times, replay_times, source_numbers
from affinage.data.streams.streamed_batches import StreamedBatches
from affinage.data.wording import said
from affinage.evaluation.comparison import Evaluation, compare_language
from affinage.evaluation.forgetting import forgetting, general_records
from affinage.evaluation.language import LanguageScores, score_language
from affinage.generation.engine import LocalGenerator
from affinage.generation.sampling import Sampling
from affinage.models.adapted import AdaptedModel
from affinage.objectives.base import Objective
from affinage.training.reporting import Reporter
from affinage.tuning.fewshot import few_shot_rows
from affinage.tuning.fit import Source
from affinage.tuning.prepared import Prepared
from affinage.wiring import make_objective

SAMPLE_TOKENS = 80
OPENING = 240  # characters of a held-out text that a sample goes on from


class LanguageWork:
    """See `affinage.tuning.work.Work`; scores are per record, summed over its rows."""

    def __init__(self, prepared: Prepared, reporter: Reporter) -> None:
        self.prepared = prepared
        self.reporter = reporter
        self.objective: Objective = make_objective(prepared.objective, prepared.recipe)
        self.budget = 2 * int(prepared.plan["micro_tokens"])
        self.baselines: dict[str, LanguageScores] = {}

    def heads(self) -> dict[str, nn.Module]:
        return {}

    def batches(self, model: AdaptedModel, numbers: Sequence[int]) -> Source:
        prepared, plan = self.prepared, self.prepared.plan
        general, share = self._replayed(), float(plan["replay"])
        shape: dict[str, Any] = {
            "budget": plan["batch_tokens"],
            "micro": plan["micro_tokens"],
            "pad_id": prepared.renderer.pad_id,
            "epochs": plan["epochs"],
        }
        if prepared.stream is not None:
            prepared.streamed = StreamedBatches(prepared.stream, **shape, beside=(general, share))
            return prepared.streamed
        rows = prepared.rows_at(numbers)
        times = self._mixed(rows)
        tokens = sum(len(row) * often for row, often in zip(rows, times, strict=True))
        often = replay_times(tokens, [len(row) for row in general], share)
        return Batches([*rows, *general], **shape, seed=prepared.recipe.seed, times=[*times, *[often] * len(general)])

    def before(self, model: AdaptedModel, numbers: Sequence[int]) -> LanguageScores | None:
        return self.score(model, numbers) if numbers else None

    def alternatives(self, model: AdaptedModel) -> None:
        rows = self._held_out_rows()
        train = self.prepared.rows_on("train")
        self.baselines["unigram"] = unigram_scores(train, rows, self.prepared.base.vocabulary)
        chats = [record for record in self._held_out_records() if isinstance(record, Chat)]
        examples = [record for record in self.prepared.records_on("train") if isinstance(record, Chat)]
        if not chats or self.prepared.folds:  # an example must never be the row that it helps with
            return
        shots, shown = few_shot_rows(self.prepared.renderer, examples, chats, self.prepared.recipe.seed)
        if shots:
            name = f"{shots} examples in the prompt"
            self.baselines[name] = self._score_rows(model, shown, "scoring with examples").by_record(shown)

    def validation_loss(self, model: AdaptedModel) -> float:
        scores = self._score_rows(model, self.prepared.rows_on("validation"), "validating")
        return float(scores.nll_R.sum() / scores.tokens_R.sum())

    def settle(self, model: AdaptedModel) -> None:
        return

    def score(self, model: AdaptedModel, numbers: Sequence[int]) -> LanguageScores:
        rows = self.prepared.rows_at(numbers)
        return self._score_rows(model, rows, "scoring").by_record(rows)

    def join(self, parts: Sequence[LanguageScores]) -> LanguageScores:
        return LanguageScores(
            nll_R=np.concatenate([part.nll_R for part in parts]),
            tokens_R=np.concatenate([part.tokens_R for part in parts]),
            bytes_R=np.concatenate([part.bytes_R for part in parts]),
            hits_R=np.concatenate([part.hits_R for part in parts]),
        )

    def general(self, model: AdaptedModel) -> LanguageScores:
        return score_general(model, self.prepared.renderer, self.budget)

    def forgotten(self, model: AdaptedModel) -> Callable[[], float]:
        before = self._watched(model)
        return lambda: self._watched(model) - before

    def _watched(self, model: AdaptedModel) -> float:
        """Bits per byte of the general text that is neither replayed nor reported."""
        interval = score_general(model, self.prepared.renderer, self.budget, "watch").bits_per_byte
        assert interval is not None  # texts know their bytes
        return interval.value

    def sample_prompts(self) -> list[tuple[str, str]]:
        chosen = self.prepared.records_on("held_out")[: self.prepared.recipe.samples]
        return [(_shown_prompt(record), _shown_reference(record)) for record in chosen]

    def samples(self, model: AdaptedModel) -> list[str]:
        chosen = self.prepared.records_on("held_out")[: self.prepared.recipe.samples]
        return written(model, self.prepared.renderer, [sample_ids(self.prepared.renderer, one) for one in chosen])

    def compare(
        self, before: LanguageScores | None, after: LanguageScores, general: tuple[Any, Any] | None
    ) -> Evaluation:
        assert before is not None  # a language model can always be asked
        folds = len(self.prepared.folds) or None
        cost = forgetting(*general) if general else None
        return compare_language(before, after, baselines=self.baselines, forgetting=cost, folds=folds)

    def extras(self, model: AdaptedModel) -> dict[str, Any]:
        return {}

    def _held_out_records(self) -> list[Record]:
        numbers = [n for part in self.prepared.folds for n in part] or self.prepared.sides["held_out"]
        return [self.prepared.records[number] for number in numbers]

    def _held_out_rows(self) -> list[Row]:
        return [row for record in self._held_out_records() for row in self.prepared.rows_of[record.id]]

    def _score_rows(self, model: AdaptedModel, rows: Sequence[Row], what: str) -> LanguageScores:
        with self.reporter.stage(what, len(rows)) as advance:
            return score_language(
                model, rows, budget=self.budget, pad_id=self.prepared.renderer.pad_id,
                progress=lambda done, total: advance(done),
            )  # fmt: skip

    def _mixed(self, rows: Sequence[Row]) -> list[float]:
        """How often each row is drawn in a pass: once, or as the recipe's mix of sources says."""
        recipe = self.prepared.recipe
        if not recipe.mix:
            return [1.0] * len(rows)
        numbers = source_numbers(self.prepared.records, recipe.data)
        by_id = {record.id: number for record, number in zip(self.prepared.records, numbers, strict=True)}
        sources = [by_id[row.record_id] for row in rows]
        return mix_times([len(row) for row in rows], sources, recipe.mix, len(recipe.data))

    def _replayed(self) -> list[Row]:
        """Rows of general text to replay, where the plan wants some."""
        recipe = self.prepared.recipe
        if not self.prepared.plan["replay"]:
            return []
        texts = load_records(recipe.replay_from).records if recipe.replay_from else general_records("replay")
        return self.prepared.renderer.rows(texts)[0]


def score_general(
    model: AdaptedModel, renderer: Renderer, budget: int, part: Literal["measure", "watch"] = "measure"
) -> LanguageScores:
    """A part of the bundled general text, as one score a passage."""
    rows, _ = renderer.rows(general_records(part))
    return score_language(model, rows, budget=budget, pad_id=renderer.pad_id).by_record(rows)


def written(model: AdaptedModel, renderer: Renderer, prompts: Sequence[list[int]]) -> list[str]:
    """What the model writes after each of these prompts, for people to look at."""
    room = min(SAMPLE_TOKENS, renderer.context // 4)
    fitting = [ids[-(renderer.context - room - 1) :] for ids in prompts]  # shown samples only, never scored
    generator = LocalGenerator(
        model, renderer.tokenizer, stop_ids=set(renderer.stop_ids), pad_id=renderer.pad_id, context=renderer.context
    )
    return [done.text for done in generator.generate(fitting, Sampling(max_tokens=room))] if fitting else []


def unigram_scores(train: Sequence[Row], held_out: Sequence[Row], vocabulary: int) -> LanguageScores:
    """Token frequencies of the training rows (add one): what knowing no context at all gives."""
    counts = np.ones(vocabulary)
    for row in train:
        counts += np.bincount(row.tokens_T[row.weights_T > 0], minlength=vocabulary)[:vocabulary]
    nll_V = -np.log(counts / counts.sum())
    best = int(counts.argmax())
    learned = [row.tokens_T[row.weights_T > 0] for row in held_out]
    scores = LanguageScores(
        nll_R=np.array([nll_V[tokens].sum() for tokens in learned]),
        tokens_R=np.array([float(len(tokens)) for tokens in learned]),
        bytes_R=np.array([float(row.learned_bytes) for row in held_out]),
        hits_R=np.array([float((tokens == best).sum()) for tokens in learned]),
    )
    return scores.by_record(held_out)


def sample_ids(renderer: Renderer, record: Any) -> list[int]:
    """What a sample starts from: the prompt of a chat, or the opening of a text."""
    if isinstance(record, Chat):
        return renderer.prompt(record.prompt or (Message("user", ""),), record.tools)
    row = [int(token) for token in renderer.text(Text(text=record.text[:OPENING]))[0].tokens_T]
    return row[:-1] if row and row[-1] in renderer.stop_ids else row


def _shown_prompt(record: Any) -> str:
    return (
        "\n".join(f"{turn.role}: {said(turn)}" for turn in record.prompt)
        if isinstance(record, Chat)
        else record.text[:OPENING]
    )


def _shown_reference(record: Any) -> str:
    if isinstance(record, Chat):
        return "\n".join(said(turn) for turn in record.messages[len(record.prompt) :][:1])
    return str(record.text[OPENING : 2 * OPENING])
