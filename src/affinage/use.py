"""A run (or a plain model) in use: generate, classify, encode, score. One renderer, built from the run's own recipe."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from affinage.data.batches import Row
from affinage.data.groups import Group
from affinage.data.layouts.prompts import Asked, prompt_of, several
from affinage.data.ledger import Drop
from affinage.data.records import Labelled, Message, Preference, Source, Text
from affinage.data.rendering.encoding import Encoder
from affinage.data.rendering.renderer import Renderer
from affinage.device import Machine, machine, seed_everything
from affinage.errors import InputError, nearest
from affinage.evaluation.language import score_language
from affinage.evaluation.rewards import reward_values
from affinage.generation.engine import Completion, LocalGenerator
from affinage.generation.sampling import Sampling
from affinage.models.adapted import AdaptedModel
from affinage.models.encodings import encode_rows
from affinage.models.heads import CLASSIFIER, ClassifierHead
from affinage.models.loading import Base, load_network, open_base
from affinage.models.saving import load_run
from affinage.recipe import Recipe
from affinage.runs import open_run
from affinage.tuning.choice import make_renderer

BUDGET = 8192  # padded tokens of one forward pass


def load(
    name: str | Path,
    *,
    device: str | None = None,
    threads: int | None = None,
    too_long: Literal["error", "truncate", "drop"] | None = None,
    system_prompt: str | None = None,
) -> Adapted:
    """Load a run folder, a model folder, a hub model or `tiny`.

    Args:
        too_long: what becomes of texts longer than the context; the run's own way when unset.
        system_prompt: put before each chat that has none; the run's own when unset.

    Raises:
        InputError: it does not exist or is broken.
        GateError: the run's base has changed since it was tuned.
    """
    base = open_base(str(name))
    recipe, objective = Recipe(model=str(name)), None
    if base.run is not None:
        run = open_run(base.run)
        recipe, objective = run.recipe, str(run.plan["objective"])
    wishes = {"too_long": too_long, "system_prompt": system_prompt}
    recipe = recipe.model_copy(update={key: value for key, value in wishes.items() if value is not None})
    here = machine(device, recipe.dtype, threads)
    talks = bool(base.tokenizer.chat_template) if base.run is None else objective != "pretrain"
    renderer = make_renderer(recipe, base)
    return Adapted(base, recipe, objective, talks, load_model(base, here), renderer)


def load_model(base: Base, here: Machine, recipe: Recipe | None = None) -> AdaptedModel:
    """The weights behind `base`, in evaluation mode; random ones where the `recipe` of a run started from such."""
    if base.run is not None:
        return load_run(base.run, here)
    if recipe is not None:
        seed_everything(recipe.seed)
    network = load_network(base, here, initialise=recipe.initialise if recipe else "pretrained")
    return AdaptedModel(network, causal=base.causal, dtype=here.torch_dtype).requires_grad_(False).eval()


@dataclass(slots=True, eq=False)
class Adapted:
    """A model that is ready to work.

    Attributes:
        objective: what the run was tuned for; None for a model without a run.
        talks: whether prompts go through the chat template (else they are continued as they stand).
    """

    base: Base
    recipe: Recipe
    objective: str | None
    talks: bool
    model: AdaptedModel
    renderer: Renderer

    @property
    def task(self) -> str | None:
        """What the head answers: `single` (one label), `multi` (any labels) or `number`; None without a head."""
        return self._head.task.name if CLASSIFIER in self.model.heads else None

    @property
    def labels(self) -> list[str]:
        """The labels, in the order of `probabilities`; empty without a head, or with one that says numbers."""
        return self._head.labels if CLASSIFIER in self.model.heads else []

    def generate(self, prompts: Asked | Sequence[Asked], *, raw: bool | None = None, **sampling: Any) -> list[str]:
        """One answer for each prompt.

        Args:
            prompts: one or several, each a text, a conversation (a list of turns such as `{"role", "content"}`), or
                `{"messages": turns, "tools": functions}` where the answer may call functions.
            raw: continue the text as it is, without a chat template; the model's own habit when unset.
            sampling: `max_tokens, temperature, top_p, top_k, stop, seed` (greedy unless a temperature is given).

        Raises:
            InputError: a setting is unknown, a prompt does not fit the context, or the model cannot write.
        """
        raw = not self.talks if raw is None else raw
        chosen = make_sampling(sampling)
        ids = [self._prompt_ids(prompt, raw) for prompt in several(prompts)]
        return [self._answer(done, raw) for done in self._generator(raw).generate(ids, chosen)]

    def stream(self, prompt: Asked, *, raw: bool | None = None, **sampling: Any) -> Generator[str, None, Completion]:
        """The pieces of one answer as they come; arguments and errors as `generate`."""
        raw = not self.talks if raw is None else raw
        return self._generator(raw).stream(self._prompt_ids(prompt, raw), make_sampling(sampling))

    def classify(self, texts: str | Sequence[str]) -> list[dict[str, Any]]:
        """What the head says of each text, by its task.

        single: `label`, `probability`, `probabilities` of all labels. multi: `labels` (those over their thresholds),
        `probabilities`. number: `value`, and `low` to `high`, which hold 9 in 10 rows like those it was fitted on
        (None where there were too few validation rows to tell).

        Raises:
            InputError: the model has no classification head, or a text is empty or too long.
        """
        return self.classify_rows(self._rows([texts] if isinstance(texts, str) else texts))

    def classify_rows(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """As `classify`, for rendered rows."""
        head = self._head
        vectors = self.encode_rows(rows, head.pooling, head.layer)
        with torch.inference_mode():
            answers_RC = head.answers(head(torch.from_numpy(vectors).to(self.model.device)))
        return [head.say(row_C) for row_C in answers_RC.tolist()]

    def encode(
        self, texts: str | Sequence[str], pooling: str | None = None, layer: int | None = None
    ) -> NDArray[np.float32]:
        """One vector for each text, (R, H).

        Args:
            pooling: mean, last, first or max over a text's tokens. Unset: the head's own, else mean.
            layer: which block's encodings (0: the embeddings, -1: the last). Unset: the head's own, else the last.

        Raises:
            InputError: the model has no such layer, or a text is empty or too long.
        """
        if CLASSIFIER in self.model.heads:
            pooling, layer = pooling or self._head.pooling, self._head.layer if layer is None else layer
        rows = self._rows([texts] if isinstance(texts, str) else texts)
        return self.encode_rows(rows, pooling or "mean", layer)

    def encode_rows(self, rows: Sequence[Row], pooling: str, layer: int | None) -> NDArray[np.float32]:
        """As `encode`, for rendered rows."""
        return encode_rows(
            self.model, rows, pooling=pooling, layer=layer, budget=BUDGET, pad_id=self.renderer.pad_id
        ).vectors

    def rewards(self, prompts: Sequence[Asked], completions: Sequence[str]) -> list[float]:
        """How good each completion is as an answer to its prompt, by a run of objective `reward`.

        0 is an answer like most; the difference of two answers to one prompt is the log-odds that people prefer the
        first. Between prompts they cannot be compared.

        Raises:
            InputError: the model has no reward head, or an answer is empty or too long.
        """
        asked = [(prompt_of(prompt).messages, (Message("assistant", completion),))
                 for prompt, completion in zip(prompts, completions, strict=True)]  # fmt: skip
        found = self.rewards_of(asked)
        lost = next((number for number, rewards in enumerate(found, start=1) if rewards is None), None)
        if lost is not None:
            raise InputError(f"answer {lost} of {len(found)} is empty or too long", fix="leave it out")
        return [rewards[0] for rewards in found if rewards is not None]

    def rewards_of(self, asked: Sequence[tuple[Sequence[Message], Sequence[Message]]]) -> list[list[float] | None]:
        """The rewards of all answers to each prompt, which is run once; None where one is empty or too long."""
        records = [
            Preference(messages=tuple(prompt), completions=tuple(answers), ranks=(1,) * len(answers))
            for prompt, answers in asked
        ]
        rows, _ = self.renderer.rows(list({record.id: record for record in records}.values()))
        rows_of: dict[str, list[Row]] = {}
        for row in rows:
            rows_of.setdefault(row.record_id, []).append(row)
        groups = {key: Group(tuple(own)) for key, own in rows_of.items()}
        values = reward_values(self.model, list(groups.values()), budget=BUDGET, pad_id=self.renderer.pad_id)
        found = {key: rewards.tolist() for key, rewards in zip(groups, values, strict=True)}
        return [found.get(record.id) for record in records]

    def likelihood(self, texts: str | Sequence[str]) -> list[dict[str, float | None]]:
        """How well the model foresees each text: `loss` (nats per token) and `bits_per_byte`.

        Raises:
            InputError: the model is an encoder, or a text is empty.
        """
        if not self.model.causal:
            raise InputError(
                f"{self.base.name!r} is an encoder: it gives texts no likelihood", fix="use a causal model"
            )
        texts = [texts] if isinstance(texts, str) else texts
        blocks = [self.renderer.text(Text(text=text)) for text in texts]
        empty = [number for number, rows in enumerate(blocks, start=1) if not rows]
        if empty:
            raise InputError(f"text {empty[0]} of {len(texts)} is empty", fix="leave it out")
        scores = score_language(
            self.model, [row for rows in blocks for row in rows], budget=BUDGET, pad_id=self.renderer.pad_id
        )
        found, start = [], 0
        for rows in blocks:
            part = slice(start, start := start + len(rows))
            nats, tokens, size = (float(x[part].sum()) for x in (scores.nll_R, scores.tokens_R, scores.bytes_R))
            bits = nats / math.log(2) / size if size else None
            found.append({"loss": nats / tokens if tokens else None, "bits_per_byte": bits})
        return found

    def rows_of(self, texts: Sequence[str], sources: Sequence[Source]) -> tuple[list[Row | None], list[Drop]]:
        """The rendered row of each text, None where it is left out, and why."""
        records = [Labelled(text=text, label="", source=source) for text, source in zip(texts, sources, strict=True)]
        rows, drops = self.renderer.rows(records, {"": 0.0})
        found = {row.record_id: row for row in rows}
        return [found.get(record.id) for record in records], drops

    def refused(self, prompt: Asked) -> str:
        """Why `generate` would refuse this prompt; empty when it would not."""
        try:
            ids, room = self._prompt_ids(prompt, not self.talks), self._generator(not self.talks).context
        except InputError as error:
            return error.message
        if not ids:
            return "empty-prompt"
        return "" if len(ids) < room else f"too-long: {len(ids)} tokens, the context is {room}"

    @property
    def _head(self) -> ClassifierHead:
        if CLASSIFIER not in self.model.heads:
            raise InputError(
                f"{self.base.name!r} has no classification head", fix="tune one: affinage tune LABELLED_DATA"
            )
        head = self.model.heads[CLASSIFIER]
        assert isinstance(head, ClassifierHead)
        return head

    def _rows(self, texts: Sequence[str]) -> list[Row]:
        sources = [Source(f"text {number} of {len(texts)}") for number in range(1, len(texts) + 1)]
        rows, drops = self.rows_of(texts, sources)
        if drops:
            raise InputError(f"{drops[0].source}: {drops[0].reason} {drops[0].detail}".rstrip(), fix="leave it out")
        return [row for row in rows if row is not None]

    def _prompt_ids(self, prompt: Asked, raw: bool) -> list[int]:
        if not raw:
            asked = prompt_of(prompt)
            return self.renderer.prompt(asked.messages, asked.tools)
        if not isinstance(prompt, str):
            raise InputError("a conversation needs a chat template", fix="give a text, or leave `raw` unset")
        tokenizer = self.renderer.tokenizer
        start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        return [*start, *Encoder(tokenizer, "").encode([prompt])[0]]

    def _generator(self, raw: bool) -> LocalGenerator:
        renderer = self.renderer
        ends = {renderer.tokenizer.eos_token_id, renderer.tokenizer.bos_token_id} if raw else set(renderer.stop_ids)
        return LocalGenerator(
            self.model, renderer.tokenizer, stop_ids={end for end in ends if end is not None},
            pad_id=renderer.pad_id, context=renderer.context,
        )  # fmt: skip

    def _answer(self, done: Completion, raw: bool) -> str:
        """The answer's content: a whole one without what the template itself puts around it."""
        whole = done.finish == "stop" and done.tokens[-1] in self.renderer.stop_ids
        return self.renderer.answer(done.tokens) if whole and not raw else done.text


def make_sampling(settings: dict[str, Any]) -> Sampling:
    """Sampling from keyword settings; a list of stop texts is taken.

    Raises:
        InputError: a setting is unknown, with the nearest known one, or out of range.
    """
    known = [field.name for field in fields(Sampling)]
    for name in settings:
        if name not in known:
            raise InputError(
                f"unknown sampling setting {name!r}.{nearest(name, known)}", fix=f"known: {', '.join(known)}"
            )
    stop = settings.get("stop", ())
    return replace(Sampling(), **{**settings, "stop": (stop,) if isinstance(stop, str) else tuple(stop or ())})
