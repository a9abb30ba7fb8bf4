"""Records: one row of a person's data in a known kind, with its source and a content id."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import orjson


@dataclass(frozen=True, slots=True)
class Source:
    """Where a row came from: `uri` is a file or `hub:` name, `locator` a line, row or passage inside it."""

    uri: str
    locator: str = ""

    def __str__(self) -> str:
        return f"{self.uri}:{self.locator}" if self.locator else self.uri


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that an answer calls. `arguments` is JSON text, as it stands in the data."""

    name: str
    arguments: str = "{}"
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat.

    Attributes:
        role: system, user, assistant or tool.
        learn: overrides what the recipe's `learn_from` would decide (None: let it decide).
        reasoning: what an answer thinks before its content, where the data keep it apart.
        calls: the functions that an answer calls.
        name: of the function whose result a tool's turn is; `call` is the id of the call it answers.
    """

    role: str
    content: str
    learn: bool | None = None
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    name: str = ""
    call: str = ""

    def says(self) -> list[Any]:
        """What the turn says, as JSON values; what is empty is left out, so that plain turns keep their ids."""
        if not (self.reasoning or self.calls or self.name):
            return [self.role, self.content]
        rest: list[Any] = [self.reasoning, [[call.name, call.arguments] for call in self.calls], self.name]
        while rest and not rest[-1]:
            rest.pop()
        return [self.role, self.content, *rest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The common part. Subclasses are the kinds; `kind` is their name in plans, ledgers and messages.

    `group`: rows of one group (a customer, a thread) never stand on two sides of a split. `time`: seconds since 1970,
    for a split that holds the latest rows out.
    """

    kind: ClassVar[str] = "record"
    source: Source = field(default=Source("memory"), compare=False)
    parents: tuple[str, ...] = field(default=(), compare=False)
    group: str = field(default="", compare=False)
    time: float | None = field(default=None, compare=False)
    _id: str = field(default="", init=False, repr=False, compare=False)

    def content(self) -> Mapping[str, Any]:
        """What the row says, without where it came from."""
        raise TypeError(f"{type(self).__name__} is not a kind of record")

    @property
    def split_key(self) -> str:
        """Rows with the same key always land on the same side of a split."""
        raise TypeError(f"{type(self).__name__} is not a kind of record")

    @property
    def id(self) -> str:
        """Content id: 16 hex digits over the kind and the content, the same on every machine."""
        if not self._id:
            object.__setattr__(self, "_id", digest({"kind": self.kind, **self.content()}))
        return self._id


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Record):
    """Raw text to continue pre-training on."""

    kind: ClassVar[str] = "text"
    text: str

    def content(self) -> Mapping[str, Any]:
        return {"text": self.text}

    @property
    def split_key(self) -> str:
        return normalised(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat(Record):
    """A conversation, or a prompt with its response (then `messages` has a user and an assistant turn).

    `tools` are the functions that the answers may call, each as JSON text.
    """

    kind: ClassVar[str] = "chat"
    messages: tuple[Message, ...]
    tools: tuple[str, ...] = ()

    def content(self) -> Mapping[str, Any]:
        tools = {"tools": list(self.tools)} if self.tools else {}
        return {"messages": [m.says() for m in self.messages], **tools}

    @property
    def prompt(self) -> tuple[Message, ...]:
        """Everything before the last assistant turn."""
        last = max((i for i, m in enumerate(self.messages) if m.role == "assistant"), default=len(self.messages))
        return self.messages[:last]

    @property
    def reference(self) -> str:
        """The last assistant turn, or an empty string."""
        return next((m.content for m in reversed(self.messages) if m.role == "assistant"), "")

    @property
    def split_key(self) -> str:
        # The prompt alone: two answers to one question must not stand on both sides.
        return _asked(self.prompt)


Label = str | tuple[str, ...] | float
"""One name (one of several classes), several names (each of them true), or a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled(Record):
    """A text with its label: one name, several names (sorted, perhaps none), or a number."""

    kind: ClassVar[str] = "labelled"
    text: str
    label: Label

    def content(self) -> Mapping[str, Any]:
        return {"text": self.text, "label": list(self.label) if isinstance(self.label, tuple) else self.label}

    @property
    def split_key(self) -> str:
        return normalised(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt(Record):
    """Something to answer, with the functions that the answer may call and an optional reference answer."""

    kind: ClassVar[str] = "prompt"
    messages: tuple[Message, ...]
    reference: str | None = None
    tools: tuple[str, ...] = ()

    def content(self) -> Mapping[str, Any]:
        tools = {"tools": list(self.tools)} if self.tools else {}
        return {"messages": [m.says() for m in self.messages], "reference": self.reference, **tools}

    @property
    def split_key(self) -> str:
        return _asked(self.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference(Record):
    """A prompt with completions that were ranked.

    Attributes:
        messages: the prompt.
        completions: assistant turns, two or more, in the order of the data.
        ranks: of each completion, 1 the best; equal ranks are ties.
        scores: of each completion, where the data give them (higher is better).
        margin: by how much the best is better than the worst, in the data's own unit.
        confidence: how sure the judge was, from 0 to 1.
    """

    kind: ClassVar[str] = "preference"
    messages: tuple[Message, ...]
    completions: tuple[Message, ...]
    ranks: tuple[int, ...]
    scores: tuple[float, ...] | None = None
    margin: float | None = None
    confidence: float | None = None

    def content(self) -> Mapping[str, Any]:
        return {
            "messages": [m.says() for m in self.messages],
            "completions": [m.says() for m in self.completions],
            "ranks": list(self.ranks),
        }

    @property
    def best(self) -> Message:
        """The first of the best completions."""
        return self.completions[self.ranks.index(min(self.ranks))]

    @property
    def worst(self) -> Message:
        """The first of the worst completions."""
        return self.completions[self.ranks.index(max(self.ranks))]

    @property
    def split_key(self) -> str:
        return _asked(self.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated(Record):
    """A prompt with one completion and what it was given: a score, or a thumb (True: up)."""

    kind: ClassVar[str] = "rated"
    messages: tuple[Message, ...]
    completion: Message
    score: float | bool

    def content(self) -> Mapping[str, Any]:
        return {
            "messages": [m.says() for m in self.messages],
            "completion": self.completion.says(),
            "score": self.score,
        }

    @property
    def split_key(self) -> str:
        return _asked(self.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair(Record):
    """A query with a passage that answers it, passages that do not, and how relevant the passage is (if told)."""

    kind: ClassVar[str] = "pair"
    query: str
    passage: str
    negatives: tuple[str, ...] = ()
    relevance: float | None = None

    def content(self) -> Mapping[str, Any]:
        return {
            "query": self.query,
            "passage": self.passage,
            "negatives": list(self.negatives),
            "relevance": self.relevance,
        }

    @property
    def split_key(self) -> str:
        # The query alone: its passages must not stand on both sides.
        return normalised(self.query)


def _asked(messages: tuple[Message, ...]) -> str:
    return normalised("\n".join(m.content for m in messages if m.role != "system"))


def normalised(text: str) -> str:
    """Case and white space folded, so that trivial variants of a text count as the same text."""
    return " ".join(text.casefold().split())


def digest(value: Any) -> str:
    """16 hex digits of BLAKE2b over canonical JSON (or over raw bytes / str)."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogatepass")
    raw = value if isinstance(value, bytes) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(raw, digest_size=8).hexdigest()
