"""Questions with choices to answer by, as chats in which the choices are read and the right ones are said."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from string import ascii_uppercase
from typing import Any

from affinage.data.layouts import columns as col
from affinage.data.layouts.bad_row import BadRowError, kind_of
from affinage.data.layouts.build import Asked, conversation
from affinage.data.layouts.columns import Values
from affinage.data.layouts.layout import Head, Layout
from affinage.data.records import Message, Record, Source

ASKED = ("question", "query", "prompt", "problem")
CHOICES = ("choices", "options", "answers")
KEYS = (
    "answer", "answerkey", "answer_key", "answer_idx", "answer_index", "correct_answers", "correct_answer", "correct",
    "label",
)  # fmt: skip
_MOST = len(ascii_uppercase)


def multiple_choice(head: Head) -> Layout | None:
    """A question, its choices, and which of them are right."""
    main, key = head.first(ASKED), head.first(KEYS)
    if main is None or key is None:
        return None
    choices = next((name for name in CHOICES if name in head.present and name != key and _fits(head, name, key)), None)
    if choices is None:
        return None
    before = "context" if "context" in head.present else None
    asked = Asked(main, before=before, system=head.role("system", col.SYSTEMS))
    description = f"prompt {asked.shown} + `{choices}`, response the choices that `{key}` names"
    make = partial(make_choice, asked, choices, key)
    return Layout("multiple choice", description, make, adds=frozenset({"system"}))


def make_choice(asked: Asked, choices: str, key: str, values: Values, source: Source) -> Record:
    """The question with its choices by letter, and the right ones."""
    offered = offered_in(col.get(values, choices), choices)
    right = right_of(col.get(values, key), offered, key)
    lines = [f"{letter}. {text}" for letter, (_, text) in zip(ascii_uppercase, offered, strict=False)]
    turns = asked.turns(values)
    turns[-1] = Message(turns[-1].role, "\n".join([f"{turns[-1].content.rstrip()}\n", *lines]))
    return conversation([*turns, Message("assistant", "\n".join(lines[n] for n in right))], source, answered=True)


def offered_in(value: Any, column: str) -> list[tuple[str, str]]:
    """The choices as (their own name, text): texts, name -> text, or lists of names and of texts side by side.

    Raises:
        BadRowError: something else, fewer than two, or more than there are letters.
    """
    if isinstance(value, Mapping) and isinstance(value.get("text"), list) and isinstance(value.get("label"), list):
        found = list(zip(value["label"], value["text"], strict=False))
    elif isinstance(value, Mapping):
        found = [(name, text) for name, text in value.items() if not col.is_missing(text)]
    elif isinstance(value, list):
        found = list(zip(ascii_uppercase, value, strict=False)) if len(value) <= _MOST else []
    else:
        found = []
    if not 2 <= len(found) <= _MOST or not all(isinstance(text, str) and text.strip() for _, text in found):
        raise BadRowError("wrong-type", f"`{column}` must hold 2 to {_MOST} choices, found {kind_of(value)}")
    return [(str(name).strip().casefold(), text.strip()) for name, text in found]


def right_of(value: Any, offered: list[tuple[str, str]], column: str) -> list[int]:
    """The places of the right choices, by name, by letter, by text, or by number from 0.

    Raises:
        BadRowError: none, or one that is not offered.
    """
    items = value if isinstance(value, list) else [value]
    if not items or all(col.is_missing(item) or item == "" for item in items):
        raise BadRowError("empty-response", f"`{column}` is empty")
    places = [_place(item, offered) for item in items]
    if None in places:
        raise BadRowError("wrong-type", f"`{column}` names a choice that is not offered")
    return sorted({place for place in places if place is not None})


def _place(item: Any, offered: list[tuple[str, str]]) -> int | None:
    if isinstance(item, int) and not isinstance(item, bool) and not any(name == str(item) for name, _ in offered):
        return item if 0 <= item < len(offered) else None
    said = str(item).strip()
    by_name = {name: place for place, (name, _) in reversed(list(enumerate(offered)))}
    by_text = {text: place for place, (_, text) in reversed(list(enumerate(offered)))}
    letter = ascii_uppercase.find(said.upper()) if len(said) == 1 else -1
    if said.casefold() in by_name:
        return by_name[said.casefold()]
    if said in by_text:
        return by_text[said]
    if 0 <= letter < len(offered):
        return letter
    return int(said) if said.isdecimal() and len(said) < 3 and int(said) < len(offered) else None


def _fits(head: Head, choices: str, key: str) -> bool:
    """Whether in most of the rows the key names some of the choices."""
    rows = [row for row in head.rows if not col.is_missing(row.get(choices))]
    return 2 * sum(_answers(row, choices, key) for row in rows) > len(rows)


def _answers(row: Values, choices: str, key: str) -> bool:
    try:
        return bool(right_of(row.get(key), offered_in(row.get(choices), choices), key))
    except BadRowError:
        return False
