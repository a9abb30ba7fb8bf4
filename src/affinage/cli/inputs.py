"""Rows to apply a model to: every row of the files, in order, also those without a label or an answer.

The layouts are those of tuning, so that a prompt is put together as the run has learned it: a row that lacks the
answer is given a stand-in, recognised, and the stand-in is forgotten again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affinage.data import columns as col
from affinage.data.layouts import Layout, recognise
from affinage.data.ledger import Drop
from affinage.data.readers import read_source
from affinage.data.records import Chat, Labelled, Message, Prompt, Record, Source, Text
from affinage.data.sources import RawRow, find, is_text
from affinage.data.turns import BadRowError
from affinage.errors import InputError

NOTHING = "\0"  # the stand-in for a missing label or answer; no text holds it
_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class Item:
    """One row to work on: a text or the turns of a prompt, or the reason why it cannot be.

    `truth` is the label or answer that stands beside it in the file, where there is one.
    """

    id: str
    source: Source
    text: str = ""
    turns: tuple[Message, ...] = ()
    truth: str | None = None
    error: str = ""


def read_items(uris: Sequence[str], *, objective: str, columns: Mapping[str, str]) -> list[Item]:
    """Every row of `uris` as `objective` takes it: `classify` and `pretrain` texts, `sft` prompts.

    `encode` takes all of them as texts, a chat with all its turns.

    Args:
        columns: role -> column as the run learned them; those that a file lacks are left out there.

    Raises:
        InputError: a file is missing, its layout is not known, or it holds no row.
    """
    items: list[Item] = []
    for uri in find(uris).uris:
        rows = read_source(uri, bad_rows="drop")
        head = list(itertools.islice(rows, _LOOKED_AT))
        layout, answers = _layout(head, objective, {} if is_text(uri) else columns)
        for row in itertools.chain(head, rows):
            items += [_item(found, objective) for found in _records(row, layout, answers)]
    if not items:
        raise InputError(f"{uris[0]}: no rows", fix="check that the file holds more than a header")
    return items


def _layout(
    head: Sequence[RawRow | Drop], objective: str, columns: Mapping[str, str]
) -> tuple[Layout | None, list[str]]:
    """How the rows of one file are read, and the columns that may lack an answer."""
    rows = [row for row in head if isinstance(row, RawRow)]
    if not rows:
        return None, []
    present = col.present_columns([row.values for row in rows])
    role, names = {"classify": ("label", col.LABELS), "sft": ("response", col.RESPONSES)}.get(objective, ("", ()))
    own = [col.fold(columns[role])] if role in columns else [name for name in names if name in present]
    turns = col.first_of(col.TURNS, present) if "messages" not in columns else col.fold(columns["messages"])
    answers = [] if turns or not role else own or [role]
    kept = {key: name for key, name in columns.items() if col.fold(name) in (*present, *answers)}
    if set(kept) <= {"label", "response", "system"}:  # the file has other columns than the run learned from
        kept = {}
    filled = [RawRow(_filled(row.values, answers), row.source) for row in rows]
    return recognise(filled, kept), answers


def _filled(values: Mapping[str, Any], answers: Sequence[str]) -> dict[str, Any]:
    """The row with a stand-in in the place of each missing answer."""
    row = col.folded(values)
    for name in answers:
        if _is_blank(row, name):
            row[name] = NOTHING
    return row


def _is_blank(row: Mapping[str, Any], name: str) -> bool:
    try:
        return row.get(name) in (None, "", []) or not col.response_of(row, name).strip()
    except BadRowError:
        return False  # something else stands there: the layout says what it makes of it


def _records(row: RawRow | Drop, layout: Layout | None, answers: Sequence[str]) -> Iterator[Record | Drop]:
    if isinstance(row, Drop) or layout is None:
        yield row if isinstance(row, Drop) else Drop("malformed", row.source)
    else:
        yield from layout.to_records(RawRow(_filled(row.values, answers), row.source))


def _item(found: Record | Drop, objective: str) -> Item:
    if isinstance(found, Drop):
        return Item(found.record_id, found.source, error=f"{found.reason}: {found.detail}".rstrip(": "))
    if objective == "sft":
        return _prompt_item(found)
    if objective == "encode" and isinstance(found, Chat | Prompt):
        return Item(found.id, found.source, text="\n\n".join(turn.content for turn in found.messages))
    if isinstance(found, Text):
        return Item(found.id, found.source, text=found.text)
    if isinstance(found, Labelled):
        same = Text(text=found.text)
        return Item(same.id, found.source, text=found.text, truth=None if found.label == NOTHING else found.label)
    raise _wrong_kind(found, "texts", "text")


def _prompt_item(record: Record) -> Item:
    if isinstance(record, Text):
        turns: tuple[Message, ...] = (Message("user", record.text),)
        return Item(Prompt(messages=turns).id, record.source, turns=turns)
    if isinstance(record, Chat):
        answered = record.messages[-1].role == "assistant"
        turns = record.prompt if answered else record.messages
        truth = record.reference if answered and record.reference != NOTHING else None
        return Item(Prompt(messages=turns).id, record.source, turns=turns, truth=truth)
    if isinstance(record, Prompt):
        return Item(Prompt(messages=record.messages).id, record.source, turns=record.messages, truth=record.reference)
    raise _wrong_kind(record, "prompts", "prompt")


def _wrong_kind(record: Record, wanted: str, role: str) -> InputError:
    return InputError(
        f"{record.source}: the run takes {wanted}, this is a {record.kind} row",
        fix=f"name the column: --column {role}=NAME",
    )
