"""Conversations and the answers to them: what a request asks, what a reply says, and who gives it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from affinage.data.records import Message
from affinage.errors import RunError


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """What a request asks of its answer; `generation.sampling.Sampling` without what endpoints lack (and torch)."""

    max_tokens: int = 1024
    temperature: float = 0.7
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One conversation to answer, and the name of the model that is to do it."""

    messages: Sequence[Message]
    settings: ChatSettings
    model: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes:
        text: what the model said, untouched.
        finish: "stop" (whole), "length" (cut at `max_tokens`), or the endpoint's own word ("content_filter").
        prompt_tokens, completion_tokens: as the endpoint counts them; None where it does not tell.
        model: as the endpoint names it.
    """

    text: str
    finish: str
    prompt_tokens: int | None
    completion_tokens: int | None
    model: str


class NoAnswerError(RunError):
    """The endpoint did not answer a request although it was asked again and again."""


class RefusedError(RunError):
    """The endpoint will not answer this request (too long, filtered, malformed)."""


class Generator(ABC):
    """Answers to conversations, from this machine or another; safe to use from several threads.

    Attributes:
        model: the name of the model that answers where no other is named.
    """

    model: str

    @property
    def retried(self) -> int:
        """Further tries so far."""
        return 0

    @property
    def left_out(self) -> Collection[str]:
        """Settings that the model said it does not take; they are no longer sent."""
        return ()

    def generate(
        self,
        prompts: Sequence[Sequence[Message]],
        sampling: ChatSettings | Sequence[ChatSettings],
        adapters: Sequence[str | None] | None = None,
    ) -> list[Reply]:
        """One answer to each conversation, in order; `adapters` name the model that answers, where not the own one.

        Raises:
            NoAnswerError, RefusedError: this request failed; others may not.
            AffinageError: none can succeed.
        """
        own = [sampling] * len(prompts) if isinstance(sampling, ChatSettings) else sampling
        models = adapters or [None] * len(prompts)
        return self._replies(
            [
                Request(messages, settings, model or self.model)
                for messages, settings, model in zip(prompts, own, models, strict=True)
            ]
        )

    @abstractmethod
    def _replies(self, requests: Sequence[Request]) -> list[Reply]:
        """See `generate`."""
