"""One file or hub name as records, once its layout is known."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from affinage.data.layouts.known import recognise
from affinage.data.ledger import BadRows, Drop
from affinage.data.reading.readers import read_source
from affinage.data.reading.sources import RawRow, is_text
from affinage.data.records import Record

_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class Reading:
    """How rows are read: role -> column where the layout shall not be recognised, and what stands between labels."""

    columns: Mapping[str, str] = field(default_factory=dict)
    bad_rows: BadRows = "error"
    label_separator: str | None = None


@dataclass(frozen=True, slots=True)
class OpenedRecords:
    """One file whose layout is known: its words for people (empty where it has no rows), and its records and drops."""

    layout: str
    records: Iterator[Record | Drop]


def open_records(uri: str, reading: Reading, notes: list[str] | None = None) -> OpenedRecords:
    """One file or hub name, its layout recognised from its first rows; the others are read as they are asked for.

    Args:
        notes: takes what a person should know and no row says.

    Raises:
        InputError: the file cannot be read, or no layout fits (`UnknownLayoutError`).
    """
    rows = read_source(uri, bad_rows=reading.bad_rows, notes=notes)
    head, drops = _head(rows)
    if not head:
        return OpenedRecords("", iter(drops))
    columns = {} if is_text(uri) else reading.columns
    layout = recognise(head, columns, label_separator=reading.label_separator)

    def records() -> Iterator[Record | Drop]:
        yield from drops
        for row in itertools.chain(head, rows):
            if isinstance(row, Drop):
                yield row
            else:
                yield from layout.to_records(row)

    return OpenedRecords(f"{layout.name}: {layout.description}", records())


def _head(rows: Iterable[RawRow | Drop]) -> tuple[list[RawRow], list[Drop]]:
    head: list[RawRow] = []
    drops: list[Drop] = []
    for row in rows:
        if isinstance(row, Drop):
            drops.append(row)
            continue
        head.append(row)
        if len(head) == _LOOKED_AT:
            break
    return head, drops
