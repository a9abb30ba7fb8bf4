"""Functions that answers may call, and their calls, out of the field's ways to write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from affinage.data.layouts.bad_row import BadRowError, kind_of
from affinage.data.records import ToolCall

_TOO_MANY = 10_000  # functions or calls of one row


def calls_of(value: Any, column: str) -> tuple[ToolCall, ...]:
    """Calls out of `tool_calls` or `function_call`: an object, a list of them, or the JSON text of either.

    A call is `{"function": {"name", "arguments"}, "id"}` or `{"name", "arguments"}` (`input` and `parameters` are read
    as `arguments`).

    Raises:
        BadRowError: `tool-calls`, something else stands there.
    """
    if isinstance(value, str):
        value = _loaded(value, column, "calls")
    items = value if isinstance(value, list) else [value]
    if len(items) > _TOO_MANY:
        raise BadRowError("tool-calls", f"`{column}` holds {len(items):,} calls in one turn")
    return tuple(_call(item, column) for item in items)


def is_call(value: Any) -> bool:
    """Whether an object is written as a call: a name with its arguments."""
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("name"), str)
        and any(key in value for key in ("arguments", "parameters", "input"))
    )


def _call(item: Any, column: str) -> ToolCall:
    inner = item.get("function", item) if isinstance(item, Mapping) else item
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(name, str) or not name.strip():
        raise BadRowError("tool-calls", f"`{column}`: a call must name its function, found {kind_of(item)}")
    given = next((inner[key] for key in ("arguments", "parameters", "input") if inner.get(key) is not None), "{}")
    return ToolCall(name.strip(), _arguments(given, name, column), str(item.get("id") or inner.get("id") or ""))


def _arguments(value: Any, name: str, column: str) -> str:
    """Arguments as JSON text; text stays as it is written."""
    if not isinstance(value, str):
        if not isinstance(value, Mapping):
            raise BadRowError("tool-calls", f"`{column}`: the arguments of {name!r} must be an object")
        return json_text(value, column)
    if not value.strip():
        return "{}"
    if not isinstance(_loaded(value, column, f"the arguments of {name!r}"), dict):
        raise BadRowError("tool-calls", f"`{column}`: the arguments of {name!r} must be an object")
    return value


def schemas_of(value: Any, column: str) -> tuple[str, ...]:
    """The functions under a `tools` column, each as JSON text: a list of schemas, or the JSON text of one.

    Raises:
        BadRowError: `tool-calls`, something else stands there.
    """
    if isinstance(value, str):
        value = _loaded(value, column, "the functions") if value.strip() else None
    if value is None or value != value:
        return ()
    items = [value] if isinstance(value, Mapping) else value
    if not isinstance(items, list) or len(items) > _TOO_MANY:
        raise BadRowError("tool-calls", f"`{column}` must be a list of functions, found {kind_of(value)}")
    return tuple(_schema(item, column) for item in items)


def _schema(item: Any, column: str) -> str:
    if isinstance(item, str):
        if not isinstance(_loaded(item, column, "a function"), dict):
            raise BadRowError("tool-calls", f"`{column}`: a function must be an object")
        return item
    if not isinstance(item, Mapping):
        raise BadRowError("tool-calls", f"`{column}`: a function must be an object, found {kind_of(item)}")
    return json_text(item, column)


def json_text(value: Any, column: str) -> str:
    """A value as JSON text, keys in the data's order.

    Raises:
        BadRowError: the value is not JSON (bytes, numbers beyond 64 bits).
    """
    try:
        return orjson.dumps(value).decode()
    except (TypeError, RecursionError) as error:
        raise BadRowError("wrong-type", f"`{column}` holds something that JSON cannot: {error}") from None


def _loaded(text: str, column: str, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRowError("tool-calls", f"`{column}`: {what} are not valid JSON: {error.msg}") from None
