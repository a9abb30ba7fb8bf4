"""Values of one row by column name: the names the field uses, and text out of what stands there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from affinage.data.layouts.bad_row import BadRowError, kind_of
from affinage.data.layouts.contents import content_text

Values = Mapping[str, Any]

TURNS = ("messages", "conversations", "conversation", "dialogue", "dialog")
PROMPTS = ("prompt", "question", "query", "problem", "input")
INSTRUCTED = ("output", "response", "completion", "answer")
RESPONSES = ("completion", "response", "solution", "answer", "answers", "output")
INPUTS = ("input", "context")
SYSTEMS = ("system", "system_prompt")
TOOLS = ("tools", "functions")
REFERENCES = ("reference", "ground_truth", "reference_answer", "reward_model")
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
    "target",
    "stars",
    "rating",
)
RATHER_NUMBERS = ("target", "stars", "rating")
NUMBERS = ("score", "value", "similarity")  # labels only where they hold numbers with fractions
TEXTS = ("text", "content", "document", "body", "article", "contexts")
MEDIA = frozenset({"image", "images", "audio", "audios", "video", "videos", "pixel_values"})

_KNOWN_SHAPES = 1024


@lru_cache(maxsize=4096)
def fold(name: str) -> str:
    """Column names are compared without case, and with spaces and hyphens as underscores."""
    return str(name).strip().lower().replace(" ", "_").replace("-", "_")


def folded(values: Values) -> dict[str, Any]:
    """The row under folded names."""
    return {fold(name): value for name, value in values.items()}


class Folder:
    """`folded` for many rows of one file: a row whose names are folded already is given back as it is."""

    def __init__(self) -> None:
        self._plain: dict[tuple[str, ...], bool] = {}

    def __call__(self, values: Values) -> Values:
        names = tuple(values)
        plain = self._plain.get(names)
        if plain is None:
            if len(self._plain) >= _KNOWN_SHAPES:  # rows that name their columns as they please
                self._plain.clear()
            plain = self._plain[names] = all(fold(name) == name for name in names)
        return values if plain else folded(values)


def first_of(names: Iterable[str], present: Iterable[str]) -> str | None:
    """The first of `names` that is among `present`."""
    present = set(present)
    return next((name for name in names if name in present), None)


def is_missing(value: Any) -> bool:
    """Null, or the NaN that data frames write for it."""
    return value is None or (isinstance(value, float) and value != value)


def is_number(value: Any) -> bool:
    """A number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_turn(value: Any) -> bool:
    """Whether a value is written as the turn of a chat."""
    return isinstance(value, Mapping) and ("role" in value or "from" in value)


def is_media(value: Any) -> bool:
    """Raw bytes, or the structs in which tables keep images and sound."""
    return isinstance(value, bytes) or (
        isinstance(value, Mapping) and ("bytes" in value or "array" in value) and "text" not in value
    )


def get(values: Values, column: str) -> Any:
    """The value under `column`.

    Raises:
        BadRowError: the row has no such column, or it holds bytes.
    """
    value = values.get(column)
    if type(value) is str:
        return value
    if value is None and column not in values:
        raise BadRowError("missing-column", f"no column `{column}`; the row has {', '.join(values) or 'none'}")
    if is_media(value):
        raise BadRowError("not-text", f"`{column}` holds an image, sound or raw bytes: text only")
    return value


def text_of(values: Values, column: str) -> str:
    """Text under `column`; a list of texts is joined by blank lines; null is empty text.

    Raises:
        BadRowError: the column is missing or holds something else.
    """
    value = values.get(column)
    if type(value) is str:
        return value
    value = get(values, column)
    if is_missing(value):
        return ""
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
    value = values.get(column)
    if type(value) is str:
        return value
    return answer_text(get(values, column), column)


def answer_text(value: Any, column: str) -> str:
    """As `response_of`, of the value itself."""
    if isinstance(value, Mapping) and "text" in value:
        value = value["text"]
    if isinstance(value, list) and value:
        value = value[0]
        if isinstance(value, Mapping) and "text" in value:
            return content_text([value], column)
    if is_missing(value) or value == []:
        return ""
    if is_number(value):
        return str(value)
    if isinstance(value, str):
        return value
    raise BadRowError("wrong-type", f"`{column}` must be text, found {kind_of(value)}")


def number_of(values: Values, column: str) -> float | None:
    """A finite number under `column`, perhaps written as text; nothing where the cell is empty.

    Raises:
        BadRowError: the column is missing or holds something else.
    """
    value = get(values, column)
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return None
    number = as_number(value)
    if number is None:
        raise BadRowError("wrong-type", f"`{column}` must be a number, found {kind_of(value)}")
    return number


def as_number(value: Any) -> float | None:
    """A finite number out of a number or of text that is written as one; nothing else."""
    if not is_number(value) and not (isinstance(value, str) and len(value) <= 40 and "_" not in value):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < float("inf") else None


def said(text: str, reason: str, column: str) -> str:
    """`text`, unless it is empty or white space.

    Raises:
        BadRowError: under `reason`.
    """
    if not text or text.isspace():
        raise BadRowError(reason, f"`{column}` is empty")
    return text


def present_columns(rows: Sequence[Values]) -> list[str]:
    """Folded names of the columns that hold something in any of `rows`, in order of appearance."""
    names: dict[str, None] = {}
    for row in rows:
        names.update((fold(name), None) for name, value in row.items() if not is_missing(value))
    return list(names)
