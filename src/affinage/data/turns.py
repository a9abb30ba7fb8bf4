"""Turns of a chat out of the field's ways to write them (OpenAI `messages`, ShareGPT `conversations`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from affinage.data.records import Message

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
}
_TOOLS = frozenset({"tool", "function", "function_call", "function_response", "tool_call", "tool_response"})
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


class BadRowError(Exception):
    """A row that becomes no record: its reason code and what a person should know."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def parse_turns(value: Any, column: str) -> list[Message]:
    """Messages of one row, as they stand; `check_order` comes after.

    Raises:
        BadRowError: not a list of turns, an unknown role, a tool call, or content that is not text.
    """
    if not isinstance(value, list):
        raise BadRowError("wrong-type", f"`{column}` must be a list of turns, found {kind_of(value)}")
    turns = [_turn(item, column) for item in value]
    if not turns:
        raise BadRowError("empty-prompt", f"`{column}` is empty")
    # An empty system turn says nothing; keeping it would switch off a template's own default.
    return [turn for turn in turns if turn.role != "system" or turn.content.strip()]


def _turn(item: Any, column: str) -> Message:
    if not isinstance(item, Mapping):
        raise BadRowError("wrong-type", f"a turn in `{column}` must be an object, found {kind_of(item)}")
    role = item.get("role", item.get("from"))
    if not isinstance(role, str):
        raise BadRowError("wrong-type", f"a turn in `{column}` has no `role` (or `from`)")
    if role.lower() in _TOOLS or item.get("tool_calls") or item.get("function_call"):
        raise BadRowError("tool-calls", f"`{column}` holds tool calls, which are not learned from")
    if role.lower() not in ROLES:
        raise BadRowError("bad-role-order", f"unknown role {role[:40]!r} in `{column}`")
    content = next((item[key] for key in ("content", "value", "text") if item.get(key) is not None), "")
    learn = bool(item["weight"]) if item.get("weight") is not None else None
    return Message(ROLES[role.lower()], content_text(content, column), learn)


def content_text(content: Any, column: str) -> str:
    """The text of a turn: a string, or a list of text parts put together.

    Raises:
        BadRowError: parts that are images, sound or files, or something else than text.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadRowError("wrong-type", f"the content of a turn in `{column}` must be text, found {kind_of(content)}")
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = part.get("type", "text") if isinstance(part, Mapping) else None
        text = part.get("text") if isinstance(part, Mapping) else None
        if kind is not None and str(kind) not in _TEXT_PARTS:
            raise BadRowError("not-text", f"`{column}` holds a part of type {str(kind)[:40]!r}: text only")
        if not isinstance(text, str):
            raise BadRowError("wrong-type", f"a part of a turn in `{column}` holds no text")
        texts.append(text)
    return "".join(texts)


def check_order(turns: Sequence[Message]) -> None:
    """At most one system turn, first; then user and assistant in turn, none of them empty.

    Raises:
        BadRowError: `bad-role-order`, `empty-prompt` or `empty-response`.
    """
    talk = turns[1:] if turns and turns[0].role == "system" else turns
    if not talk:
        raise BadRowError("empty-prompt", "no user turn")
    for number, turn in enumerate(talk):
        expected = "user" if number % 2 == 0 else "assistant"
        if turn.role != expected:
            where = "first" if number == 0 else f"after {talk[number - 1].role}"
            raise BadRowError("bad-role-order", f"turn {number + 1}: {turn.role} stands {where}, expected {expected}")
        if not turn.content.strip():
            reason = "empty-prompt" if expected == "user" else "empty-response"
            raise BadRowError(reason, f"turn {number + 1}: the {expected} says nothing")


def kind_of(value: Any) -> str:
    """What a value is, in a person's words."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return f"an object with {', '.join(map(str, list(value)[:6])) or 'no keys'}"
    names = {str: "text", bool: "true/false", int: "a number", float: "a number", list: "a list", bytes: "bytes"}
    return names.get(type(value), type(value).__name__)
