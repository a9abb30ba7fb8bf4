"""A record with another text in the place of each of its texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

from affinage.data.records import Chat, Labelled, Message, Pair, Preference, Prompt, Rated, Record, Text

AnyRecord = TypeVar("AnyRecord", bound=Record)
Change = Callable[[str], str]


def map_texts(record: AnyRecord, change: Change) -> AnyRecord:
    """The record with `change` made to each of its texts.

    Raises:
        TypeError: a kind of record that is not known here.
    """
    new: Record
    if isinstance(record, Text | Labelled):
        new = replace(record, text=change(record.text))
    elif isinstance(record, Chat | Prompt):
        tools = tuple(_map_json(tool, change) for tool in record.tools)
        new = replace(record, messages=_map_turns(record.messages, change), tools=tools)
        if isinstance(new, Prompt) and new.reference is not None:
            new = replace(new, reference=change(new.reference))
    elif isinstance(record, Preference):
        completions = _map_turns(record.completions, change)
        new = replace(record, messages=_map_turns(record.messages, change), completions=completions)
    elif isinstance(record, Rated):
        (completion,) = _map_turns((record.completion,), change)
        new = replace(record, messages=_map_turns(record.messages, change), completion=completion)
    elif isinstance(record, Pair):
        negatives = tuple(map(change, record.negatives))
        new = replace(record, query=change(record.query), passage=change(record.passage), negatives=negatives)
    else:
        raise TypeError(f"{type(record).__name__} has no texts that are known")
    return cast("AnyRecord", new)


def _map_turns(turns: tuple[Message, ...], change: Change) -> tuple[Message, ...]:
    return tuple(
        replace(
            turn,
            content=change(turn.content),
            reasoning=change(turn.reasoning),
            calls=tuple(replace(call, arguments=_map_json(call.arguments, change)) for call in turn.calls),
        )
        for turn in turns
    )


def _map_json(text: str, change: Change) -> str:
    """JSON text with `change` made to its strings and numbers, so that it stays JSON; text that is no JSON as text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return change(text)
    changed = _map_value(value, change)
    return text if changed == value else json.dumps(changed, ensure_ascii=False)


def _map_value(value: Any, change: Change) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _map_value(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_map_value(inner, change) for inner in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        said = str(value)
        new = change(said)
        return value if new == said else new
    return value
