"""Text from the adapted model itself, on this machine: batches over a key-value cache."""

from __future__ import annotations

import random
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from affinage.data.batches import by_length
from affinage.data.records import digest
from affinage.errors import InputError, RunError
from affinage.generation.cache import Open, opened
from affinage.generation.sampling import Sampling, sample
from affinage.generation.text import TextStream
from affinage.models.adapted import AdaptedModel

BATCH_TOKENS = 16384


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer.

    Attributes:
        text: without what ended it (the stop token or stop text).
        tokens: every token that was written, what ended it included.
        finish: "stop" (a stop token or stop text came) or "length" (`max_tokens`, or the end of the context).
        logprobs: of each token under the model's own distribution, in nats, temperature and narrowing left out.
        prompt_tokens: length of the prompt.
    """

    text: str
    tokens: tuple[int, ...]
    finish: Literal["stop", "length"]
    logprobs: tuple[float, ...]
    prompt_tokens: int


@dataclass(slots=True, eq=False)
class _Answer:
    """An answer that is being written."""

    number: int
    prompt: tuple[int, ...]
    sampling: Sampling
    generator: random.Random
    text: TextStream
    room: int
    watched: bool  # whether its text is looked at while it grows
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: Literal["stop", "length"] | None = None

    def take(self, token: int, logprob: float, stop_ids: Collection[int]) -> None:
        self.tokens.append(token)
        self.logprobs.append(logprob)
        if token not in stop_ids:
            (self.text.add if self.watched else self.text.keep)(token)
        if token in stop_ids or self.text.stopped:
            self.finish = "stop"
        elif len(self.tokens) == self.room:
            self.finish = "length"
        if self.finish:
            self.text.finish()

    def completion(self) -> Completion:
        tokens, logprobs = tuple(self.tokens), tuple(self.logprobs)
        return Completion(self.text.text, tokens, self.finish or "length", logprobs, len(self.prompt))


class LocalGenerator:
    """Writes answers to prompts of token ids.

    Args:
        model: a causal model; adapters of any kind may be attached.
        tokenizer: turns tokens into text; special tokens are left out of it.
        stop_ids: tokens that end an answer.
        pad_id: id of the padding.
        context: most tokens of prompt and answer together.
        batch_tokens: tokens whose keys and values are held at a time (a longer prompt stands alone).

    Raises:
        InputError: the model is an encoder.
    """

    def __init__(
        self,
        model: AdaptedModel,
        tokenizer: Any,
        *,
        stop_ids: Collection[int],
        pad_id: int,
        context: int,
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        if not model.causal:
            raise InputError("an encoder cannot write text", fix="use a causal language model")
        self.model = model
        self.tokenizer = tokenizer
        self.stop_ids = frozenset(stop_ids)
        self.pad_id = pad_id
        self.batch_tokens = batch_tokens
        self._context = context

    @property
    def context(self) -> int:
        """Most tokens of prompt and answer: what a prompt-learning adapter puts in front takes room as well."""
        return self._context - self.model.virtual_tokens

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling | Sequence[Sampling]) -> list[Completion]:
        """One completion of each prompt, in their order.

        A prompt that is given several times is read once and answered that many times: the n-th time it draws from
        the n-th stream of its seed, so what an answer says depends on its prompt, seed and n, not on its neighbours.

        Args:
            prompts: token ids; none is ever cut.
            sampling: for all, or one for each.

        Raises:
            InputError: a prompt is empty or leaves no room in the context.
            RunError: the model gives numbers that are not finite.
        """
        own = [sampling] * len(prompts) if isinstance(sampling, Sampling) else list(sampling)
        answers = self._answers(prompts, own)
        with self._evaluating():
            rows = self._opened(answers)
            for group in self._groups(answers):
                for _ in self._write(group, rows):
                    pass
        return [answer.completion() for answer in answers]

    def stream(self, prompt: Sequence[int], sampling: Sampling) -> Generator[str, None, Completion]:
        """Yield the answer's text piece by piece, whole characters only; joined they are its text.

        The generator's return value is the completion. Errors are those of `generate`, raised at the first piece.
        """
        (answer,) = self._answers([prompt], [sampling])
        answer.watched = True
        shown = 0
        with self._evaluating():
            for _ in self._write([answer], self._opened([answer])):
                if len(answer.text.text) > shown:
                    yield answer.text.text[shown:]
                    shown = len(answer.text.text)
        return answer.completion()

    def _answers(self, prompts: Sequence[Sequence[int]], samplings: Sequence[Sampling]) -> list[_Answer]:
        copies: dict[tuple[int, ...], int] = {}
        answers = []
        for number, (given, sampling) in enumerate(zip(prompts, samplings, strict=True)):
            prompt = tuple(int(token) for token in given)
            self._check(prompt, number, len(prompts))
            copy = copies[prompt] = copies.get(prompt, -1) + 1
            text = TextStream(self.tokenizer, prompt, sampling.stop)
            room = min(sampling.max_tokens, self.context - len(prompt))
            stream, watched = _stream_of(sampling, prompt, copy), bool(sampling.stop)
            answers.append(_Answer(number, prompt, sampling, stream, text, room, watched))
        return answers

    def _groups(self, answers: list[_Answer]) -> Iterator[list[_Answer]]:
        """Answers to write together: of similar size, equal prompts side by side."""
        sizes = [len(answer.prompt) + answer.room for answer in answers]
        order = sorted(range(len(answers)), key=lambda number: answers[number].prompt)
        pools = [order]
        config = self.model.plain.config.get_text_config()
        if self.model.virtual_tokens and getattr(config, "sliding_window", None):
            # padding stands between virtual and real tokens, and a window counts it: let there be none
            lengths = {len(answer.prompt) for answer in answers}
            pools = [[number for number in order if len(answers[number].prompt) == length] for length in lengths]
        for pool in pools:
            for group in by_length(sizes, pool, self.batch_tokens):
                yield [answers[number] for number in group]

    def _check(self, prompt: tuple[int, ...], number: int, count: int) -> None:
        which = f"prompt {number + 1} of {count}" if count > 1 else "the prompt"
        if not prompt:
            raise InputError(f"{which} is empty", fix="give at least one token to continue")
        if len(prompt) >= self.context:
            raise InputError(
                f"{which} has {len(prompt)} tokens; the context of {self.context} leaves no room for an answer",
                fix="shorten it, or use a model with a longer context; a prompt is never cut",
            )

    def _opened(self, answers: list[_Answer]) -> Open:
        longest = max((len(answer.prompt) + answer.room for answer in answers), default=0)
        return opened(self.model, self.pad_id, longest=longest, tokens=sum(answer.room for answer in answers))

    def _write(self, answers: list[_Answer], open_rows: Open) -> Iterator[None]:
        """Write all answers to their ends, one token each between two yields."""
        distinct = list(dict.fromkeys(answer.prompt for answer in answers))
        rows = open_rows(distinct)
        logits_BV = rows.prefill()
        if len(distinct) < len(answers):
            place = {prompt: row for row, prompt in enumerate(distinct)}
            copies = [place[answer.prompt] for answer in answers]
            rows.select(copies)
            logits_BV = logits_BV[copies]
        while True:
            tokens_B = self._choose(answers, logits_BV)
            yield
            live = _closed([row for row, answer in enumerate(answers) if answer.finish is None])
            if not live:
                return
            if len(live) < len(answers):
                answers = [answers[row] for row in live]
                rows.select(live)
                tokens_B = tokens_B[live]
            logits_BV = rows.advance(tokens_B)

    def _choose(self, answers: list[_Answer], logits_BV: Tensor) -> Tensor:
        """Choose and note each answer's next token (B,)."""
        samplings, generators = [answer.sampling for answer in answers], [answer.generator for answer in answers]
        chosen = sample(logits_BV, samplings, generators)
        if not bool(chosen.logprobs_B.isfinite().all()):
            raise RunError("the model's output is not a number", fix="its weights are broken, or float16 is too narrow")
        tokens, logprobs = chosen.tokens_B.tolist(), chosen.logprobs_B.tolist()
        for answer, token, logprob in zip(answers, tokens, logprobs, strict=True):
            answer.take(token, logprob, self.stop_ids)
        return chosen.tokens_B

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """No dropout while writing; the model's mode is put back."""
        training = {module for module in self.model.modules() if module.training}
        self.model.eval()
        try:
            yield
        finally:
            for module in training:
                module.training = True


def _closed(live: list[int]) -> list[int]:
    """Rows that are left, the last of them in the places of those that ended: few are moved."""
    stay, count = set(live), len(live)
    movers = (row for row in live if row >= count)
    return [place if place in stay else next(movers) for place in range(count)]


def _stream_of(sampling: Sampling, prompt: tuple[int, ...], copy: int) -> random.Random:
    """The random numbers of one answer: by seed, prompt and how many times the prompt came before."""
    if sampling.seed is None:
        return random.Random(random.getrandbits(64))
    return random.Random(f"{sampling.seed}-{copy}-{digest(repr(prompt))}")
