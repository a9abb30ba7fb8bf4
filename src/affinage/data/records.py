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
class Message:
    """One turn of a chat. `learn` overrides what the recipe's `learn_from` would decide (None: let it decide)."""

    role: str
    content: str
    learn: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The common part. Subclasses are the kinds; `kind` is their name in plans, ledgers and messages."""

    kind: ClassVar[str] = "record"
    source: Source = field(default=Source("memory"), compare=False)
    parents: tuple[str, ...] = field(default=(), compare=False)

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
        return digest({"kind": self.kind, **self.content()})


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
    """A conversation, or a prompt with its response (then `messages` has a user and an assistant turn)."""

    kind: ClassVar[str] = "chat"
    messages: tuple[Message, ...]

    def content(self) -> Mapping[str, Any]:
        return {"messages": [[m.role, m.content] for m in self.messages]}

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
        return normalised("\n".join(m.content for m in self.prompt if m.role != "system"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled(Record):
    """A text with one label."""

    kind: ClassVar[str] = "labelled"
    text: str
    label: str

    def content(self) -> Mapping[str, Any]:
        return {"text": self.text, "label": self.label}

    @property
    def split_key(self) -> str:
        return normalised(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt(Record):
    """Something to answer, with an optional reference answer."""

    kind: ClassVar[str] = "prompt"
    messages: tuple[Message, ...]
    reference: str | None = None

    def content(self) -> Mapping[str, Any]:
        return {"messages": [[m.role, m.content] for m in self.messages], "reference": self.reference}

    @property
    def split_key(self) -> str:
        return normalised("\n".join(m.content for m in self.messages if m.role != "system"))


def normalised(text: str) -> str:
    """Case and white space folded, so that trivial variants of a text count as the same text."""
    return " ".join(text.casefold().split())


def digest(value: Any) -> str:
    """16 hex digits of BLAKE2b over canonical JSON (or over raw bytes / str)."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogatepass")
    raw = value if isinstance(value, bytes) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(raw, digest_size=8).hexdigest()
