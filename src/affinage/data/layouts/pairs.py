"""Queries with their passages, out of the values of one row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affinage.data.layouts import columns as col
from affinage.data.layouts.bad_row import BadRowError, kind_of
from affinage.data.layouts.columns import Values
from affinage.data.records import Pair, Record, Source


def passage_text(value: Any, column: str) -> str:
    """A passage: text, or an object with its `text` and perhaps a `title`.

    Raises:
        BadRowError: something else.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and isinstance(value.get("text"), str):
        title = value.get("title")
        return f"{title.strip()}\n{value['text']}" if isinstance(title, str) and title.strip() else str(value["text"])
    raise BadRowError("wrong-type", f"`{column}` must be text, found {kind_of(value)}")


def each_passage(passage: str, values: Values) -> list[Values]:
    """A row with several passages as one piece for each."""
    found = col.get(values, passage)
    if not isinstance(found, list):
        return [values]
    if not found:
        raise BadRowError("empty-text", f"`{passage}` is empty")
    return [{**values, passage: item} for item in found]


def make_query_passage(
    query: str, passage: str, negatives: tuple[str, ...], relevance: str | None, values: Values, source: Source
) -> Record:
    """A query and one passage, with the passages that do not answer it."""
    asked = col.said(col.text_of(values, query), "empty-prompt", query)
    found = col.get(values, passage)
    answer = col.said("" if col.is_missing(found) else passage_text(found, passage), "empty-text", passage)
    wrong = [text for column in negatives for text in _texts(values.get(column), column)]
    score = _relevance(values, relevance) if relevance is not None and relevance in values else None
    return Pair(query=asked, passage=answer, negatives=tuple(wrong), relevance=score, source=source)


def _relevance(values: Values, column: str) -> float | None:
    value = values[column]
    return float(value) if isinstance(value, bool) else col.number_of(values, column)


def _texts(value: Any, column: str) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [text for item in items if not col.is_missing(item) and (text := passage_text(item, column)).strip()]
