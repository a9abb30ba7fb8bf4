"""The one door through which a person's data come in: sources -> rows -> records and drops."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from affinage.data.layouts import Layout, recognise
from affinage.data.ledger import BadRows, Drop
from affinage.data.readers import read_source
from affinage.data.records import Record, Source
from affinage.data.sources import RawRow, find, is_text
from affinage.errors import InputError

_LOOKED_AT = 100


@dataclass(slots=True)
class Loaded:
    """What came in. `read` = records + drops; `layouts` tells, for each file or hub name, what was taken from where."""

    records: list[Record] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    layouts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The kind that all records are of."""
        return self.records[0].kind

    @property
    def read(self) -> int:
        """Rows read (each instance of a seed task counts)."""
        return len(self.records) + len(self.drops)


def load_records(
    uris: Sequence[str | Path], *, columns: Mapping[str, str] | None = None, bad_rows: BadRows = "error"
) -> Loaded:
    """Every record of `uris`, all of one kind; empty rows and exact duplicates (first kept) are dropped and counted.

    Args:
        columns: role -> column, where the layout shall not be recognised by content (text files are read as they are).
        bad_rows: `"error"` stops at the first damaged row, `"drop"` counts it under its reason.

    Raises:
        InputError: nothing readable, a damaged row, an unknown layout, several kinds of records, or no record left.
    """
    found = find(uris)
    loaded = Loaded(notes=found.notes)
    seen: dict[str, Source] = {}
    for uri in found.uris:
        for item in _records_of(uri, None if is_text(uri) else columns, bad_rows, loaded.layouts):
            if isinstance(item, Drop):
                loaded.drops.append(item.settle(bad_rows))
                continue
            identity = item.id
            if identity in seen:
                loaded.drops.append(Drop("duplicate", item.source, f"the same as {seen[identity]}", identity))
                continue
            seen[identity] = item.source
            loaded.records.append(item)
            if item.kind != loaded.kind:
                raise _mixed(loaded.records[0], item)
    if not loaded.records:
        raise _nothing_left(found.uris, loaded.drops)
    return loaded


def _records_of(
    uri: str, columns: Mapping[str, str] | None, bad_rows: BadRows, layouts: dict[str, str]
) -> Iterator[Record | Drop]:
    rows = read_source(uri, bad_rows=bad_rows)
    head, drops = _head(rows)
    yield from drops
    if not head:
        return
    layout: Layout = recognise(head, columns)
    layouts[uri] = f"{layout.name}: {layout.description}"
    for row in itertools.chain(head, rows):
        if isinstance(row, Drop):
            yield row
        else:
            yield from layout.to_records(row)


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


def _mixed(first: Record, other: Record) -> InputError:
    return InputError(
        f"the data are of two kinds: {first.source} is {first.kind}, {other.source} is {other.kind}",
        fix="one run learns from one kind; name files of one kind, or map the columns with --set columns....",
    )


def _nothing_left(uris: Sequence[str], drops: Sequence[Drop]) -> InputError:
    where = uris[0] if len(uris) == 1 else f"{uris[0]} and {len(uris) - 1} more"
    if not drops:
        return InputError(f"{where}: no rows", fix="check that the file holds more than a header")
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in Counter(d.reason for d in drops).most_common())
    return InputError(
        f"{where}: no row is left to learn from; dropped: {reasons}",
        fix=f"the first: {drops[0].source}: {drops[0].detail}",
    )
