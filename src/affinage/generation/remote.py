"""Text from another model behind an OpenAI-compatible endpoint: asked again where that helps, and its errors in words."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from typing import Any

from affinage.errors import AffinageError, InputError, RunError, nearest
from affinage.generation.chats import Generator, NoAnswerError, RefusedError, Reply, Request
from affinage.generation.dialect import Dialect
from affinage.generation.endpoint import Endpoint
from affinage.generation.pauses import Pauses, retry_after

TIMEOUT = 120.0  # seconds for one answer


class RemoteGenerator(Generator):
    """Asks an OpenAI-compatible endpoint, one request after another.

    A rate limit, an overloaded or broken server and a lost connection are tried again with pauses that double, at
    least as long as the server asks (`Retry-After`). What is said goes to that host and to no other.

    Args:
        retries: further tries of one request.
        stop: set to give up waiting at once.

    Raises:
        NoAnswerError: by `generate`: no answer came after all tries.
        RefusedError: by `generate`: the endpoint will not answer this request.
        InputError: by `generate`: key, model or address are wrong; by itself: the openai client is not installed.
        RunError: by `generate`: the account has nothing left, or the server asks for a very long pause.
    """

    def __init__(
        self, endpoint: Endpoint, model: str, *, retries: int = 6, timeout: float = TIMEOUT,
        stop: threading.Event | None = None,
    ) -> None:  # fmt: skip
        self.endpoint = endpoint
        self.model = model
        self.retries = retries
        self.stop = stop or threading.Event()
        self._client = endpoint.client(timeout)
        self._pauses = Pauses(endpoint.host, self.stop)
        self._dialect = Dialect()

    @property
    def retried(self) -> int:
        return self._pauses.count

    @property
    def left_out(self) -> Collection[str]:
        return self._dialect.left_out

    def models(self) -> list[str]:
        """Names of the models that the endpoint serves; none where it does not say."""
        import openai

        try:
            return sorted(str(model.id) for model in self._client.models.list(timeout=5.0).data)
        except (openai.OpenAIError, ValueError, TypeError, AttributeError):
            return []

    def _replies(self, requests: Sequence[Request]) -> list[Reply]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Reply:
        import openai

        tries = 0
        while True:
            self._pauses.wait()
            body = self._dialect.body(request)
            try:
                return _reply(self._client.chat.completions.create(**body), request.model)
            except openai.APIStatusError as error:
                if error.status_code in (400, 422) and self._dialect.adapt(error, body):
                    continue
                trouble = self._trouble(error, request.model)
                asked = retry_after(error.response.headers)
            except openai.APIConnectionError as error:  # timeouts too
                slow = isinstance(error, openai.APITimeoutError)
                trouble, asked = NoAnswerError("no answer in time" if slow else "no connection"), None
            except (openai.OpenAIError, ValueError, TypeError, AttributeError, IndexError, RecursionError):
                trouble, asked = NoAnswerError("an answer that is not of the protocol"), None
            if not isinstance(trouble, NoAnswerError) or tries == self.retries or self.stop.is_set():
                trouble.message = f"{self.endpoint.host}: {trouble.message}"
                raise trouble from None
            tries += 1
            self._pauses.rest(tries, asked)

    def _trouble(self, error: Any, model: str) -> AffinageError:
        status = error.status_code
        said = self.endpoint.hide(" ".join(str(error.message).split())[:300])
        if status in (401, 403):
            return InputError(f"the key is not accepted ({status}: {said})", fix="see --key-env")
        if status == 404:
            known = self.models()
            fix = f"it serves: {', '.join(known[:8])}" if known else "check --teacher (often ends in /v1)"
            return InputError(f"no model {model!r} at this address (404).{nearest(model, known)}", fix=fix)
        if 300 <= status < 400:
            return InputError(f"the address is a redirect ({status})", fix="name the address that it leads to")
        if status == 429 and getattr(error, "code", None) == "insufficient_quota":
            return RunError("the account has nothing left (429 insufficient_quota)", fix="then give the command again")
        if status in (408, 409, 425, 429) or status >= 500:
            return NoAnswerError(f"{status}: {said}")
        return RefusedError(f"{status}: {said}")


def _reply(answer: Any, model: str) -> Reply:
    choice = answer.choices[0]
    text = choice.message.content
    if text is not None and not isinstance(text, str):
        raise TypeError("content is not text")
    usage = answer.usage
    counts = [_count(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens")]
    finish = str(choice.finish_reason or "stop")
    return Reply(text or "", finish, counts[0], counts[1], str(answer.model or model))


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
