"""Values of one row by column name: the names the field uses, and text out of what stands there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from affinage.data.turns import BadRowError, content_text, kind_of

Values = Mapping[str, Any]

TURNS = ("messages", "conversations", "conversation", "dialogue", "dialog")
PROMPTS = ("prompt", "question", "query", "problem", "input")
RESPONSES = ("completion", "response", "solution", "answer", "answers", "output")
INPUTS = ("input", "context")
LABELLED_TEXTS = ("text", "sentence", "content", "review", "question", "utterance", "document", "body", "title")
LABELS = (
    "label_name",
    "label_text",
    "label",
    "labels",
    "category",
    "class",
    "intent",
    "sentiment",
    "topic",
    "coarse_label",
)
TEXTS = ("text", "content", "document", "body", "article", "contexts")
MEDIA = ("image", "images", "audio", "audios", "video", "videos", "pixel_values")


def fold(name: str) -> str:
    """Column names are compared without case, and with spaces and hyphens as underscores."""
    return str(name).strip().lower().replace(" ", "_").replace("-", "_")


def folded(values: Values) -> dict[str, Any]:
    """The row under folded names."""
    return {fold(name): value for name, value in values.items()}


def first_of(names: Iterable[str], present: Iterable[str]) -> str | None:
    """The first of `names` that is among `present`."""
    present = set(present)
    return next((name for name in names if name in present), None)


def is_missing(value: Any) -> bool:
    """Null, or the NaN that data frames write for it."""
    return value is None or (isinstance(value, float) and value != value)


def is_media(value: Any) -> bool:
    """Raw bytes, or the structs in which tables keep images and sound."""
    return isinstance(value, bytes) or (
        isinstance(value, Mapping) and bool({"bytes", "array"} & set(value)) and "text" not in value
    )


def get(values: Values, column: str) -> Any:
    """The value under `column`.

    Raises:
        BadRowError: the row has no such column, or it holds bytes.
    """
    if column not in values:
        raise BadRowError("missing-column", f"no column `{column}`; the row has {', '.join(values) or 'none'}")
    value = values[column]
    if is_media(value):
        raise BadRowError("not-text", f"`{column}` holds an image, sound or raw bytes: text only")
    return value


def text_of(values: Values, column: str) -> str:
    """Text under `column`; a list of texts is joined by blank lines; null is empty text.

    Raises:
        BadRowError: the column is missing or holds something else.
    """
    value = get(values, column)
    if is_missing(value):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n\n".join(value)
    raise BadRowError("wrong-type", f"`{column}` must be text, found {kind_of(value)}")


def optional_text(values: Values, column: str | None) -> str:
    """As `text_of`, empty where there is no such column."""
    return text_of(values, column) if column is not None and column in values else ""


def response_of(values: Values, column: str) -> str:
    """An answer under `column`: text, a number, text parts, or the first of several answers (SQuAD's lists too).

    Raises:
        BadRowError: the column is missing or holds something else.
    """
    value = get(values, column)
    if isinstance(value, Mapping) and "text" in value:
        value = value["text"]
    if isinstance(value, list) and value:
        value = value[0]
        if isinstance(value, Mapping) and "text" in value:
            return content_text([value], column)
    if is_missing(value) or value == []:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return value
    raise BadRowError("wrong-type", f"`{column}` must be text, found {kind_of(value)}")


def label_of(values: Values, column: str) -> str:
    """One label under `column` as text: integers as they are written, true/false, or a list of exactly one.

    Raises:
        BadRowError: no label (`empty-label`), several, or something else.
    """
    value = get(values, column)
    if isinstance(value, list):
        if len(value) > 1:
            raise BadRowError("wrong-type", f"`{column}` holds {len(value)} labels; one label a row is learned")
        value = value[0] if value else None
    if is_missing(value):
        raise BadRowError("empty-label", f"`{column}` is empty")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if not isinstance(value, str | int | float):
        raise BadRowError("wrong-type", f"`{column}` must be one label, found {kind_of(value)}")
    if not str(value).strip():
        raise BadRowError("empty-label", f"`{column}` is empty")
    return str(value).strip()


def said(text: str, reason: str, column: str) -> str:
    """`text`, unless it is empty or white space.

    Raises:
        BadRowError: under `reason`.
    """
    if not text.strip():
        raise BadRowError(reason, f"`{column}` is empty")
    return text


def present_columns(rows: Sequence[Values]) -> list[str]:
    """Folded names of the columns that hold something in any of `rows`, in order of appearance."""
    names: dict[str, None] = {}
    for row in rows:
        names.update((fold(name), None) for name, value in row.items() if not is_missing(value))
    return list(names)
