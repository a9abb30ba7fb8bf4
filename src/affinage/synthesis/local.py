"""A model on this machine as teacher: questions of several threads become one batch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from affinage.data.records import Message
from affinage.errors import InputError
from affinage.generation.chats import ChatSettings, Generator, RefusedError, Reply, Request

GATHER = 0.02  # seconds to wait for the questions of other threads


@dataclass(slots=True, eq=False)
class _Waiting:
    prompt: list[int]
    settings: ChatSettings
    reply: Reply | None = None
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)


class LocalTeacher(Generator):
    """Answers with a loaded model; an answer does not depend on what it is batched with.

    Args:
        generator: writes completions of token ids (`generation.engine.LocalGenerator`).
        renderer: turns conversations into token ids (`data.rendering.Renderer`).
        model: the name that stands in journal and lineage.

    Raises:
        RefusedError: by `generate`: a conversation does not fit into the context.
        InputError: by `generate`: another model is named; only the own one is loaded.
    """

    def __init__(self, generator: Any, renderer: Any, model: str) -> None:
        self.model = model
        self._generator = generator
        self._renderer = renderer
        self._queue: list[_Waiting] = []
        self._queue_lock = threading.Lock()
        self._work_lock = threading.Lock()

    def _replies(self, requests: Sequence[Request]) -> list[Reply]:
        if any(request.model != self.model for request in requests):
            raise InputError("a teacher on this machine answers as itself only", fix="leave out --judge-model")
        with self._work_lock:  # a tokenizer is not for two threads at once
            asked = [_Waiting(self._ids(request.messages), request.settings) for request in requests]
        with self._queue_lock:
            self._queue += asked
        for one in asked:
            self._serve(one)
        return [_taken(one) for one in asked]

    def _serve(self, one: _Waiting) -> None:
        """Wait until someone has answered, or answer all who wait."""
        one.done.wait(GATHER)
        with self._work_lock:
            if one.done.is_set():
                return
            with self._queue_lock:
                batch, self._queue = self._queue, []
            self._answer(batch)

    def _answer(self, batch: Sequence[_Waiting]) -> None:
        from affinage.generation.sampling import Sampling

        settings = [one.settings for one in batch]
        samplings = [Sampling(s.max_tokens, s.temperature, s.top_p, 0, s.stop, s.seed) for s in settings]
        try:
            made = self._generator.generate([one.prompt for one in batch], samplings)
            for one, done in zip(batch, made, strict=True):
                ended = done.finish == "stop" and done.tokens[-1] in self._renderer.stop_ids
                text = self._renderer.answer(done.tokens) if ended else done.text
                one.reply = Reply(text, done.finish, done.prompt_tokens, len(done.tokens), self.model)
        except Exception as error:
            for one in batch:
                one.error = error
        finally:
            for one in batch:
                one.done.set()

    def _ids(self, turns: Sequence[Message]) -> list[int]:
        ids: list[int] = self._renderer.prompt(turns)
        room = self._generator.context - len(ids)
        if room <= 0:
            raise RefusedError(
                f"a prompt of {len(ids):,} tokens; the context of {self._generator.context:,} leaves no room",
                fix="use a model with a longer context",
            )
        return ids


def _taken(one: _Waiting) -> Reply:
    if one.error is not None:
        raise one.error
    assert one.reply is not None
    return one.reply
