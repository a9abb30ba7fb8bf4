"""Prompts as people write them in Python and in requests, and turns written as data files hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from affinage.data.layouts.bad_row import BadRowError, kind_of
from affinage.data.layouts.tools import schemas_of
from affinage.data.layouts.turns import parse_turns
from affinage.data.records import Message, Prompt
from affinage.errors import InputError

Asked = str | Sequence[Message | Mapping[str, Any]] | Mapping[str, Any] | Prompt
"""A text, the turns of a conversation, `{"messages": turns, "tools": functions}`, or the record of one."""


def prompt_of(asked: Asked) -> Prompt:
    """What is asked, as a record. Turns and functions are read as those of a data file are.

    Raises:
        InputError: a turn or a function that cannot be read.
    """
    if isinstance(asked, Prompt):
        return asked
    if isinstance(asked, str):
        return Prompt(messages=(Message("user", asked),))
    try:
        if isinstance(asked, Mapping):
            return Prompt(messages=_turns(asked.get("messages")), tools=schemas_of(asked.get("tools"), "tools"))
        return Prompt(messages=_turns(asked))
    except BadRowError as error:
        raise InputError(
            f"a prompt cannot be read: {error.detail}",
            fix='give a text, a list of {"role": ..., "content": ...}, or {"messages": [...], "tools": [...]}',
        ) from None


def several(asked: Asked | Sequence[Asked]) -> list[Asked]:
    """One or many prompts as a list; a list of turns is one."""
    if isinstance(asked, str | Mapping | Prompt):
        return [asked]
    first = asked[0] if asked else None
    if isinstance(first, Message) or (isinstance(first, Mapping) and "messages" not in first):
        return [asked]  # type: ignore[list-item]  # the turns of one conversation
    return list(asked)  # type: ignore[arg-type]


def as_data(turns: Sequence[Message]) -> list[dict[str, Any]]:
    """Turns as `messages` of a data file, so that they can be read again."""
    return [_as_data(turn) for turn in turns]


def _turns(value: Any) -> tuple[Message, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise BadRowError("wrong-type", f"`messages` must be a list of turns, found {kind_of(value)}")
    if all(isinstance(turn, Message) for turn in value):
        return tuple(value)
    written = [_as_data(turn) if isinstance(turn, Message) else turn for turn in value]
    for turn in written:
        if isinstance(turn, Mapping) and not {"content", "value", "text", "tool_calls", "function_call"} & set(turn):
            raise BadRowError("wrong-type", f"a turn needs a role and a content, found {kind_of(turn)}")
    return tuple(parse_turns(written, "messages"))


def _as_data(turn: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if turn.reasoning:
        written["reasoning_content"] = turn.reasoning
    if turn.calls:
        functions = [{"name": call.name, "arguments": call.arguments} for call in turn.calls]
        ids = [{"id": call.id} if call.id else {} for call in turn.calls]
        written["tool_calls"] = [
            {**number, "type": "function", "function": function}
            for number, function in zip(ids, functions, strict=True)
        ]
    return written | ({"name": turn.name} if turn.name else {}) | ({"tool_call_id": turn.call} if turn.call else {})
