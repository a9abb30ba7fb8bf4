"""Turns of a chat out of the field's ways to write them (OpenAI `messages`, ShareGPT `conversations`, transcripts)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from affinage.data.layouts.bad_row import BadRowError, kind_of
from affinage.data.layouts.contents import Said, content_of, reasoning_text, result_text
from affinage.data.layouts.tools import calls_of
from affinage.data.layouts.transcripts import is_transcript, transcript_turns
from affinage.data.layouts.trees import best_path
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
    "ai": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "ipython": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    "function_response": "tool",
}
_CALLS = frozenset({"function_call", "tool_call"})  # roles whose content is the call itself
_REASONING = ("reasoning_content", "reasoning", "thinking")
_LEARN = ("weight", "train", "loss")  # true or 1: learned from
_CALL_TEXT = ("<tool_call", "<|tool_call", "<function", "[TOOL_CALLS]", "<|python_tag|>")


def parse_turns(value: Any, column: str) -> list[Message]:
    """Messages of one row, as they stand; `check_order` comes after.

    `value` is a list of turns, the JSON text of one, a transcript, or a tree of replies (its best path).

    Raises:
        BadRowError: something else, an unknown role, a call that cannot be read, or content that is not text.
    """
    if isinstance(value, str) and is_transcript(value):
        value = [{"role": turn.role, "content": turn.content} for turn in transcript_turns(value)]
    elif isinstance(value, str) and value.lstrip().startswith("[{"):
        value = _json(value, column)
    elif isinstance(value, Mapping) and "replies" in value:
        value = best_path(value)
    if not isinstance(value, list):
        raise BadRowError("wrong-type", f"`{column}` must be a list of turns, found {kind_of(value)}")
    turns: list[Message] = []
    for item in value:
        _append(turns, item, column)
    if not turns:
        raise BadRowError("empty-prompt", f"`{column}` is empty")
    if any(turn.role == "tool" for turn in turns):
        turns = _named(turns)
    # An empty system turn says nothing; keeping it would switch off a template's own default.
    return [turn for turn in turns if turn.role != "system" or turn.content.strip()]


def _json(text: str, column: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRowError("wrong-type", f"`{column}` must be a list of turns; as JSON text: {error.msg}") from None


def _append(turns: list[Message], item: Any, column: str) -> None:
    """One item of the list: mostly one turn; results of tools inside a turn come before it, as turns of their own."""
    if not isinstance(item, Mapping):
        raise BadRowError("wrong-type", f"a turn in `{column}` must be an object, found {kind_of(item)}")
    role = item.get("role", item.get("from"))
    content = item.get("content")
    if len(item) == 2 and role in ("user", "assistant", "system") and type(content) is str:
        turns.append(Message(role, content))  # nearly all turns
        return
    if not isinstance(role, str):
        raise BadRowError("wrong-type", f"a turn in `{column}` has no `role` (or `from`)")
    written = role.strip().lower().replace("-", "_")
    if written not in ROLES:
        raise BadRowError("bad-role-order", f"unknown role {role[:40]!r} in `{column}`")
    content = next((item[key] for key in ("content", "value", "text") if item.get(key) is not None), "")
    if written in _CALLS and not item.get("tool_calls") and not item.get("function_call"):
        _join(turns, Message("assistant", "", _learned(item, column), calls=calls_of(content, column)))
    elif ROLES[written] == "tool":
        name, call = str(item.get("name") or ""), str(item.get("tool_call_id") or "")
        turns.append(Message("tool", result_text(content, column), _learned(item, column), name=name, call=call))
    else:
        said = content_of(content, column)
        turns += said.results
        if said.text or not said.results:
            turns.append(_message(ROLES[written], item, said, column))


def _message(role: str, item: Mapping[str, Any], said: Said, column: str) -> Message:
    learn = _learned(item, column)
    if role != "assistant":
        return Message(role, said.text, learn)
    apart = next((item[key] for key in _REASONING if item.get(key)), "")
    reasoning = reasoning_text(apart, column) or said.reasoning
    written = item.get("tool_calls") or item.get("function_call")
    calls = calls_of(written, column) if written else said.calls
    return Message(role, said.text, learn, reasoning=reasoning, calls=calls)


def _join(turns: list[Message], call: Message) -> None:
    """A call that stands as a turn of its own belongs to the assistant's turn before it, if there is one."""
    if turns and turns[-1].role == "assistant":
        before = turns[-1]
        learn = call.learn if before.learn is None else before.learn
        turns[-1] = replace(before, calls=before.calls + call.calls, learn=learn)
    else:
        turns.append(call)


def _learned(item: Mapping[str, Any], column: str) -> bool | None:
    """What a turn says of itself: `weight`, `train` or `loss`, or `mask` for the contrary."""
    for key in (*_LEARN, "mask"):
        value = item.get(key)
        if value is None:
            continue
        if not isinstance(value, bool | int | float):
            raise BadRowError("wrong-type", f"`{key}` of a turn in `{column}` must be 0, 1, true or false")
        return bool(value) != (key == "mask")
    return None


def _named(turns: Sequence[Message]) -> list[Message]:
    """Turns whose tools' results carry the name of the function that was called under their id."""
    names: dict[str, str] = {}
    told = []
    for turn in turns:
        names.update((call.id, call.name) for call in turn.calls if call.id)
        unnamed = turn.role == "tool" and not turn.name and turn.call in names
        told.append(replace(turn, name=names[turn.call]) if unnamed else turn)
    return told


def check_order(turns: Sequence[Message]) -> None:
    """At most one system turn, first; then user and assistant in turn, with tools' results after an answer's calls.

    An answer that calls functions may say nothing else, and may be the last turn.

    Raises:
        BadRowError: `bad-role-order`, `empty-prompt` or `empty-response`.
    """
    first = 1 if turns and turns[0].role == "system" else 0
    if len(turns) == first:
        raise BadRowError("empty-prompt", "no user turn")
    before: Message | None = None
    for number in range(first, len(turns)):
        turn = turns[number]
        expected = _expected(before)
        if turn.role not in expected:
            where = f"after {before.role}" if before else "first"
            raise BadRowError(
                "bad-role-order",
                f"turn {number - first + 1}: {turn.role} stands {where}, expected {' or '.join(expected)}",
            )
        if not turn.content.strip() and not turn.calls and turn.role != "tool":
            reason = "empty-prompt" if turn.role == "user" else "empty-response"
            raise BadRowError(reason, f"turn {number - first + 1}: the {turn.role} says nothing")
        before = turn


def _expected(before: Message | None) -> tuple[str, ...]:
    if before is None:
        return ("user",)
    if before.role == "user":
        return ("assistant",)
    if before.role == "tool":
        return ("tool", "assistant")
    if before.calls:
        return ("tool",)
    # Some data write their calls into the text itself.
    return ("user", "tool") if any(mark in before.content for mark in _CALL_TEXT) else ("user",)
