"""What one turn says: plain text, or typed parts (text, thinking, calls, results)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from affinage.data.layouts.bad_row import BadRowError, kind_of
from affinage.data.layouts.tools import calls_of, json_text
from affinage.data.records import Message, ToolCall

_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
_REASONING_PARTS = frozenset({"thinking", "reasoning"})
_CALL_PARTS = frozenset({"tool_use", "tool_call", "function_call"})
_RESULT_PARTS = frozenset({"tool_result", "tool_response"})
_THOUGHTS = ("thinking", "reasoning", "text", "content")


@dataclass(slots=True)
class Said:
    """The parts of one turn, put together by their kind. `results` are turns of their own, by tools."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    results: tuple[Message, ...] = ()


def content_of(content: Any, column: str) -> Said:
    """A turn's content: a string, or a list of typed parts.

    Raises:
        BadRowError: parts that are images, sound or files, or something else than text.
    """
    if isinstance(content, str):
        return Said(content)
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list):
        raise BadRowError("wrong-type", f"the content of a turn in `{column}` must be text, found {kind_of(content)}")
    said = Said()
    for part in content:
        _add(said, part, column)
    return said


def content_text(content: Any, column: str) -> str:
    """As `content_of`, the text alone."""
    return content_of(content, column).text


def reasoning_text(value: Any, column: str) -> str:
    """Reasoning that the data keep apart: text, or parts of text.

    Raises:
        BadRowError: something else stands there.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return reasoning_text(next((value[key] for key in _THOUGHTS if key in value), None), column)
    if isinstance(value, list):
        return "".join(reasoning_text(part, column) for part in value)
    raise BadRowError("wrong-type", f"the reasoning of a turn in `{column}` must be text, found {kind_of(value)}")


def result_text(value: Any, column: str) -> str:
    """What a function gave back: text, text parts, or any other value as JSON text."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and value and all(isinstance(part, Mapping) and "type" in part for part in value):
        return content_text(value, column)
    return json_text(value, column)


def _add(said: Said, part: Any, column: str) -> None:
    if isinstance(part, str):
        said.text += part
        return
    if not isinstance(part, Mapping):
        raise BadRowError("wrong-type", f"a part of a turn in `{column}` holds no text")
    kind = str(part.get("type", "text"))
    if kind in _REASONING_PARTS:
        said.reasoning += reasoning_text(part, column)
    elif kind in _CALL_PARTS:
        said.calls += calls_of(part.get(kind) or part, column)
    elif kind in _RESULT_PARTS:
        call = part.get("tool_use_id") or part.get("tool_call_id") or ""
        result = result_text(part.get("content", part.get("output")), column)
        said.results += (Message("tool", result, name=str(part.get("name") or ""), call=str(call)),)
    elif kind not in _TEXT_PARTS:
        raise BadRowError("not-text", f"`{column}` holds a part of type {kind[:40]!r}: text only")
    elif not isinstance(part.get("text"), str):
        raise BadRowError("wrong-type", f"a part of a turn in `{column}` holds no text")
    else:
        said.text += part["text"]
