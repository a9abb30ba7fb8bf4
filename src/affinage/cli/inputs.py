"""Rows to apply a model to: every row of the files, in order, also those without a label or an answer.

The layouts are those of tuning, so that a prompt is put together as the run has learned it: a row that lacks the
answer is given that of another row, recognised, and the answer is forgotten again.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from affinage.data.layouts import columns as col
from affinage.data.layouts.known import Layout, recognise
from affinage.data.ledger import Drop
from affinage.data.reading.readers import read_source
from affinage.data.reading.sources import RawRow, find, is_text
from affinage.data.records import Chat, Label, Labelled, Message, Pair, Preference, Prompt, Rated, Record, Source, Text
from affinage.errors import InputError

NOTHING = "\0"  # the stand-in where no row of the file has an answer
_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class Item:
    """One row to work on: a text or a prompt, or the reason why it cannot be.

    `truth` is the label or answer that stands beside it in the file, where there is one.
    """

    id: str
    source: Source
    text: str = ""
    prompt: Prompt | None = None
    answers: tuple[Message, ...] = ()
    truth: Label | None = None
    error: str = ""


def read_items(
    uris: Sequence[str], *, objective: str, columns: Mapping[str, str], label_separator: str | None = None
) -> list[Item]:
    """Every row of `uris` as `objective` takes it: `classify` and `pretrain` texts, `sft` prompts.

    `dpo` takes prompts as `sft` does, `reward` answers beside their prompts (all those of a comparison, in its order).
    `encode` takes all of them as texts, a chat with all its turns.

    Args:
        columns: role -> column as the run learned them; those that a file lacks are left out there.
        label_separator: what stands between several labels in one cell, as the run learned them.

    Raises:
        InputError: a file is missing, its layout is not known, or it holds no row.
    """
    items: list[Item] = []
    for uri in find(uris).uris:
        rows = read_source(uri, bad_rows="drop")
        head = list(itertools.islice(rows, _LOOKED_AT))
        lenient = _lenient(head, objective, {} if is_text(uri) else columns, label_separator)
        for row in itertools.chain(head, rows):
            items += lenient.items(row, objective)
    if not items:
        raise InputError(f"{uris[0]}: no rows", fix="check that the file holds more than a header")
    return items


@dataclass(frozen=True, slots=True)
class _Lenient:
    """A layout that takes rows without an answer: `fill` is put in the place of a missing one, by column."""

    layout: Layout | None
    fill: Mapping[str, Any]

    def items(self, row: RawRow | Drop, objective: str) -> list[Item]:
        if isinstance(row, Drop) or self.layout is None:
            lost = row if isinstance(row, Drop) else Drop("malformed", row.source)
            return [_item(lost, objective)]
        values, blank = _filled(row.values, self.fill)
        items = []
        for record in self.layout.to_records(RawRow(values, row.source)):
            item = _item(record, objective)
            own = not blank or isinstance(record, Preference)  # which brings its answers in columns of its own
            items.append(item if own else replace(item, truth=None))
        return items


def _lenient(
    head: Sequence[RawRow | Drop], objective: str, columns: Mapping[str, str], label_separator: str | None
) -> _Lenient:
    """How the rows of one file are read, and what stands for a missing answer."""
    rows = [row for row in head if isinstance(row, RawRow)]
    if not rows:
        return _Lenient(None, {})
    present = col.present_columns([row.values for row in rows])
    asked = col.INSTRUCTED if "instruction" in present else col.RESPONSES
    named = {"classify": ("label", (*col.LABELS, *col.NUMBERS)), "sft": ("response", asked)}
    role, names = named.get(objective, ("", ()))
    turns = col.first_of(col.TURNS, present) if "messages" not in columns else col.fold(columns["messages"])
    own = _own(columns, role, present) or [name for name in names if name in present]
    answers = [] if turns or not role else own or [role]
    kept = {
        key: name
        for key, name in columns.items()
        if key not in ("group", "time") and {col.fold(part) for part in (name, *name.split(","))} & {*present, *answers}
    }
    if set(kept) <= {"label", "labels", "response", "system", "tools"}:  # other columns than the run learned from
        kept = {}
    nothing: Any = 0 if len(answers) > 1 and "labels" in columns else NOTHING  # a column for each label holds 0 or 1
    fill = {name: _stand_in(rows, name, nothing) for name in answers}
    filled = [RawRow(_filled(row.values, fill)[0], row.source) for row in rows]
    return _Lenient(recognise(filled, kept, label_separator=label_separator), fill)


def _own(columns: Mapping[str, str], role: str, present: Sequence[str]) -> list[str]:
    """The columns of the answer as the run learned them."""
    if role == "label" and "labels" in columns:
        whole = col.fold(columns["labels"])
        return [whole] if whole in present else [col.fold(name) for name in columns["labels"].split(",")]
    return [col.fold(columns[role])] if role in columns else []


def _stand_in(rows: Sequence[RawRow], name: str, nothing: Any) -> Any:
    """An answer of the file itself, so that it is of the right kind; else `nothing`."""
    values = (col.folded(row.values) for row in rows)
    return next((row[name] for row in values if not _is_blank(row, name)), nothing)


def _filled(values: Mapping[str, Any], fill: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The row with a stand-in in the place of each missing answer, and whether the one that is read was missing.

    The columns stand in the order in which a layout looks for them, so that it reads the first.
    """
    row = col.folded(values)
    blank = [name for name in fill if _is_blank(row, name)]
    row.update((name, fill[name]) for name in blank)
    return row, blank[:1] == list(fill)[:1] != []


def _is_blank(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    return col.is_missing(value) or value in ("", []) or (isinstance(value, str) and not value.strip())


def _item(found: Record | Drop, objective: str) -> Item:
    if isinstance(found, Drop):
        return Item(found.record_id, found.source, error=f"{found.reason}: {found.detail}".rstrip(": "))
    if objective in ("sft", "dpo"):
        return _prompt_item(found)
    if objective == "reward":
        return _answered_item(found)
    if objective == "encode" and isinstance(found, Chat | Prompt):
        return Item(found.id, found.source, text="\n\n".join(turn.content for turn in found.messages))
    if objective == "encode" and isinstance(found, Pair):
        return Item(found.id, found.source, text=found.passage)
    if isinstance(found, Text):
        return Item(found.id, found.source, text=found.text)
    if isinstance(found, Labelled):
        same = Text(text=found.text)
        return Item(same.id, found.source, text=found.text, truth=found.label)
    raise _wrong_kind(found, "texts", "text")


def _prompt_item(record: Record) -> Item:
    truth = None
    if isinstance(record, Text):
        asked = Prompt(messages=(Message("user", record.text),))
    elif isinstance(record, Chat):
        answered = record.messages[-1].role == "assistant"
        asked = Prompt(messages=record.prompt if answered else record.messages, tools=record.tools)
        truth = record.reference if answered else None
    elif isinstance(record, Prompt):
        asked, truth = Prompt(messages=record.messages, tools=record.tools), record.reference
    elif isinstance(record, Preference | Rated):
        asked = Prompt(messages=record.messages)
        truth = record.best.content if isinstance(record, Preference) else None
    else:
        raise _wrong_kind(record, "prompts", "prompt")
    return Item(asked.id, record.source, prompt=asked, truth=truth)


def _answered_item(record: Record) -> Item:
    answers: tuple[Message, ...] = ()
    asked: tuple[Message, ...] = ()
    if isinstance(record, Chat) and record.messages[-1].role == "assistant":
        asked, answers = record.messages[:-1], record.messages[-1:]
    elif isinstance(record, Rated):
        asked, answers = record.messages, (record.completion,)
    elif isinstance(record, Preference):
        asked, answers = record.messages, record.completions
    else:
        raise _wrong_kind(record, "prompts with answers", "response")
    return Item(record.id, record.source, prompt=Prompt(messages=asked), answers=answers)


def _wrong_kind(record: Record, wanted: str, role: str) -> InputError:
    return InputError(
        f"{record.source}: the run takes {wanted}, this is a {record.kind} row",
        fix=f"name the column: --column {role}=NAME",
    )
