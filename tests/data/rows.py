"""Rows as they come out of a reader, and what a layout makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from affinage.data.layouts.known import recognise
from affinage.data.ledger import Drop
from affinage.data.reading.sources import RawRow
from affinage.data.records import Message, Record, Source


def raw(*rows: dict[str, Any]) -> list[RawRow]:
    """Rows of one file."""
    return [RawRow(values, Source("f.jsonl", str(number))) for number, values in enumerate(rows, start=1)]


def records(*rows: dict[str, Any], columns: dict[str, str] | None = None, separator: str | None = None) -> list[Any]:
    """All records and drops of rows of one file."""
    layout = recognise(raw(*rows), columns, label_separator=separator)
    return [made for row in raw(*rows) for made in layout.to_records(row)]


def said(turns: Sequence[Message]) -> list[tuple[str, str]]:
    """Roles and contents."""
    return [(turn.role, turn.content) for turn in turns]


def reason(made: Record | Drop) -> str:
    """Why a row became no record."""
    assert isinstance(made, Drop), made
    assert made.detail
    return made.reason
