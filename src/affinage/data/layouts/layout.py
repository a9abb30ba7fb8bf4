"""What a layout is: the way from the values of one row to its records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from affinage.data.layouts import columns as col
from affinage.data.layouts.bad_row import BadRowError, kind_of
from affinage.data.layouts.columns import Values
from affinage.data.layouts.times import seconds
from affinage.data.ledger import Drop
from affinage.data.reading.sources import RawRow, raw_id
from affinage.data.records import Record, Source

Make = Callable[[Values, Source], Record]
_TOO_MANY = 10_000  # records of one row


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of one file become records.

    Attributes:
        description: what is taken from which columns.
        expand: the pieces of a row that each become a record (the instances of a seed task); most rows are one piece.
        ignore_media: the columns were named by hand, so that images beside them are left alone.
        adds: which further columns this layout can use when they are named by hand.
        group: column whose value fills `Record.group`; `time` likewise.
    """

    name: str
    description: str
    make: Make
    expand: Callable[[Values], list[Values]] | None = None
    ignore_media: bool = False
    adds: frozenset[str] = frozenset()
    group: str | None = None
    time: str | None = None
    fold: Callable[[Values], Values] = field(default_factory=col.Folder, compare=False, repr=False)

    def to_records(self, row: RawRow) -> list[Record | Drop]:
        """The records of one row (a seed task has one an instance), a `Drop` in the place of each that cannot be."""
        values = self.fold(row.values)
        try:
            if not self.ignore_media and not col.MEDIA.isdisjoint(values):
                _refuse_media(values)
            if self.expand is None:
                return [self._made(values, values, row.source)]
            pieces = self.expand(values)
            if len(pieces) > _TOO_MANY:
                raise BadRowError("wrong-type", f"{len(pieces):,} records in one row")
        except BadRowError as bad:
            return [Drop(bad.reason, row.source, bad.detail, raw_id(row.values))]
        made: list[Record | Drop] = []
        for number, piece in enumerate(pieces, start=1):
            source = Source(row.source.uri, f"{row.source.locator}#{number}") if len(pieces) > 1 else row.source
            try:
                made.append(self._made(piece, values, source))
            except BadRowError as bad:
                made.append(Drop(bad.reason, source, bad.detail, raw_id(piece)))
        return made

    def _made(self, piece: Values, row: Values, source: Source) -> Record:
        record = self.make(piece, source)
        if self.group is None and self.time is None:
            return record
        return replace(record, group=_group(row, self.group), time=_time(row, self.time))


@dataclass(frozen=True, slots=True)
class Head:
    """The first rows of a file, folded: what a layout is recognised by.

    Attributes:
        uri: the file, for messages.
        present: columns that hold something, in order of appearance.
        named: role -> column, what was named by hand beside the layout's own columns.
    """

    uri: str
    rows: Sequence[Values]
    present: Sequence[str]
    named: Mapping[str, str] = field(default_factory=dict)
    label_separator: str | None = None

    def first(self, names: Sequence[str]) -> str | None:
        """The first of `names` that is there."""
        return col.first_of(names, self.present)

    def role(self, role: str, names: Sequence[str]) -> str | None:
        """The column named by hand for `role`, else the first of `names` that is there."""
        return self.named.get(role) or self.first(names)

    def values(self, column: str) -> list[Any]:
        """What stands under `column`, without what is missing."""
        return [row[column] for row in self.rows if not col.is_missing(row.get(column))]

    def all(self, column: str | None, holds: Callable[[Any], bool]) -> bool:
        """Whether there is something under `column` and `holds` is true of all of it."""
        values = self.values(column) if column else []
        return bool(values) and all(map(holds, values))


def make_head(
    rows: Sequence[RawRow], named: Mapping[str, str] | None = None, label_separator: str | None = None
) -> Head:
    """The head of a file out of its first rows."""
    values = [col.folded(row.values) for row in rows]
    uri = rows[0].source.uri if rows else "data"
    return Head(uri, values, col.present_columns(values), named or {}, label_separator)


def _refuse_media(values: Values) -> None:
    for column in sorted(col.MEDIA):
        if values.get(column) not in (None, "", [], {}):
            raise BadRowError("not-text", f"column `{column}` holds images, sound or video: text only")


def _group(values: Values, column: str | None) -> str:
    value = values.get(column) if column else None
    if col.is_missing(value):
        return ""
    if isinstance(value, str | int | float):
        return str(value).strip()
    raise BadRowError("wrong-type", f"`{column}` must name a group, found {kind_of(value)}")


def _time(values: Values, column: str | None) -> float | None:
    return seconds(values.get(column), column) if column else None
