"""Text from another model behind an OpenAI-compatible endpoint: retries, rate limits, and what each call has used."""

from __future__ import annotations

import email.utils
import ipaddress
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from affinage.data.records import Message
from affinage.errors import AffinageError, InputError, RunError, nearest

TIMEOUT = 120.0  # seconds for one answer
FIRST_PAUSE = 0.5  # seconds; doubled at every further try
LONGEST_PAUSE = 60.0  # seconds, where the server does not ask for more
LONGEST_ASKED = 600.0  # seconds that a server may ask to wait; beyond that the work is better taken up later
OPTIONAL = ("temperature", "top_p", "seed", "stop")  # settings that a model may not know; left out when it says so


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """What a request asks of its answer; `generation.sampling.Sampling` without what endpoints lack (and torch)."""

    max_tokens: int = 1024
    temperature: float = 0.7
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None


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


class Generator(Protocol):
    """Answers to conversations, from this machine or another."""

    model: str

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
        ...


class NoAnswerError(RunError):
    """The endpoint did not answer a request although it was asked again and again."""


class RefusedError(RunError):
    """The endpoint will not answer this request (too long, filtered, malformed)."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible address.

    Attributes:
        url: base URL, `/v1` included where the server has it.
        key: sent as a bearer token; never shown.
    """

    url: str
    key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"{self.url!r} is not the URL of an endpoint", fix="such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password:
            raise InputError("the URL holds a password", fix="put the key into an environment variable: --key-env NAME")

    @property
    def host(self) -> str:
        """Name and port."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    @property
    def encrypted(self) -> bool:
        return urlsplit(self.url).scheme == "https"

    @property
    def here(self) -> bool:
        """Whether the endpoint is on this machine, so that nothing leaves it."""
        name = str(urlsplit(self.url).hostname)
        if name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or address.is_unspecified


class RemoteGenerator:
    """Asks an OpenAI-compatible endpoint; safe to use from several threads.

    A rate limit, an overloaded or broken server and a lost connection are tried again with pauses that double, at
    least as long as the server asks (`Retry-After`); the pause holds for all threads, so that a limit is not run into
    again and again. A redirect is not followed and, for an endpoint on this machine, no proxy is used: what is said
    goes to that host and to no other.

    Args:
        retries: further tries of one request.
        stop: set to give up waiting at once.

    Attributes:
        retried: further tries so far.
        left_out: settings that the model said it does not take; they are no longer sent.
    """

    def __init__(
        self, endpoint: Endpoint, model: str, *, retries: int = 6, timeout: float = TIMEOUT,
        stop: threading.Event | None = None,
    ) -> None:  # fmt: skip
        self.endpoint = endpoint
        self.model = model
        self.retries = retries
        self.stop = stop or threading.Event()
        self.retried = 0
        self.left_out: set[str] = set()
        self._client = _client(endpoint, timeout)
        self._lock = threading.Lock()
        self._free_at = 0.0  # on the monotonic clock: nobody asks before
        self._limit = "max_tokens"

    def generate(
        self,
        prompts: Sequence[Sequence[Message]],
        sampling: ChatSettings | Sequence[ChatSettings],
        adapters: Sequence[str | None] | None = None,
    ) -> list[Reply]:
        """One answer to each conversation, one after another.

        Raises:
            NoAnswerError: no answer came after all tries.
            RefusedError: the endpoint will not answer this request.
            InputError: key, model or address are wrong.
            RunError: the account has nothing left, or the server asks for a very long pause.
        """
        own = [sampling] * len(prompts) if isinstance(sampling, ChatSettings) else list(sampling)
        models = adapters or [None] * len(prompts)
        return [
            self._answer(messages, settings, model or self.model)
            for messages, settings, model in zip(prompts, own, models, strict=True)
        ]

    def _answer(self, messages: Sequence[Message], settings: ChatSettings, model: str) -> Reply:
        import openai

        tries = 0
        while True:
            self._wait()
            body = self._body(messages, settings, model)
            try:
                return _reply(self._client.chat.completions.create(**body), model)
            except openai.APIStatusError as error:
                if error.status_code in (400, 422) and self._adapt(error, body):
                    continue
                trouble = self._trouble(error, model)
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
            self._pause(tries, asked)

    def _body(self, messages: Sequence[Message], settings: ChatSettings, model: str) -> dict[str, Any]:
        wishes = {name: getattr(settings, name) for name in OPTIONAL if name not in self.left_out}
        if not settings.stop:
            wishes.pop("stop", None)
        if settings.top_p == 1:
            wishes.pop("top_p", None)
        turns = [{"role": turn.role, "content": turn.content} for turn in messages]
        return {
            "model": model, "messages": turns, self._limit: settings.max_tokens,
            **{name: list(value) if isinstance(value, tuple) else value for name, value in wishes.items()},
        }  # fmt: skip

    def _adapt(self, error: Any, body: dict[str, Any]) -> bool:
        """Whether the refusal names a setting that we can do without; then it is not sent again."""
        said = str(error.message)
        named = str(getattr(error, "param", "") or "")
        with self._lock:
            if self._limit in body and self._limit == "max_tokens" and "max_completion_tokens" in said:
                self._limit = "max_completion_tokens"
                return True
            found = next((name for name in OPTIONAL if name in body and name == named), None)
            if found:
                self.left_out.add(found)
            # another thread may have found out in the meantime
            return bool(found) or bool(self.left_out & body.keys()) or self._limit not in body

    def _trouble(self, error: Any, model: str) -> AffinageError:
        status = error.status_code
        said = " ".join(str(error.message).split())[:300]
        if self.endpoint.key:
            said = said.replace(self.endpoint.key, "***")
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

    def models(self) -> list[str]:
        """Names of the models that the endpoint serves; none where it does not say."""
        import openai

        try:
            return sorted(str(model.id) for model in self._client.models.list(timeout=5.0).data)
        except (openai.OpenAIError, ValueError, TypeError, AttributeError):
            return []

    def _wait(self) -> None:
        while not self.stop.is_set() and (left := self._free_at - time.monotonic()) > 0:
            self.stop.wait(left)

    def _pause(self, tries: int, asked: float | None) -> None:
        if asked is not None and asked > LONGEST_ASKED:
            raise RunError(
                f"{self.endpoint.host} asks to wait {asked:,.0f} s", fix="give the same command again after that"
            )
        # the jitter keeps several threads from coming back at one moment
        own = min(FIRST_PAUSE * 2 ** (tries - 1), LONGEST_PAUSE) * random.uniform(0.75, 1.25)
        seconds = max(own, asked or 0.0)
        with self._lock:
            self.retried += 1
            if asked is not None:
                self._free_at = max(self._free_at, time.monotonic() + seconds)
        self.stop.wait(seconds)


def retry_after(headers: Any) -> float | None:
    """Seconds that a response asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, TypeError, OverflowError):
                continue
        if seconds == seconds:  # a number
            return max(0.0, seconds)
    return None


def _client(endpoint: Endpoint, timeout: float) -> Any:
    try:
        import openai
    except ImportError:
        raise InputError(
            "other models are reached with the openai client", fix="pip install 'affinage[synthesis]'"
        ) from None
    http = openai.DefaultHttpxClient(follow_redirects=False, trust_env=not endpoint.here)
    return openai.OpenAI(
        api_key=endpoint.key or "none", base_url=endpoint.url, timeout=timeout, max_retries=0, http_client=http
    )


def _reply(answer: Any, model: str) -> Reply:
    choice = answer.choices[0]
    text = choice.message.content
    if text is not None and not isinstance(text, str):
        raise TypeError("content is not text")
    usage = answer.usage
    counts = [_count(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens")]
    finish: str | Literal["stop"] = choice.finish_reason or "stop"
    return Reply(text or "", str(finish), counts[0], counts[1], str(answer.model or model))


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
