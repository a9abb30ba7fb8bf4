"""Rows out of delimited text."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from affinage.data.ledger import Drop
from affinage.data.reading.decoding import LONGEST_LINE, decoded, text_lines
from affinage.data.reading.opening import MIB
from affinage.data.reading.sources import RawRow, suffix_of
from affinage.data.records import Source, digest
from affinage.errors import InputError

_SNIFFED_LINES = 50
_SNIFFED = MIB  # characters
_MOST_COLUMNS = 20_000  # a sheet of Excel has 16,384


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a delimited file is written."""

    delimiter: str
    spaced: bool = False
    quoted: bool = True

    def reader(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """Parsed rows; `strict`, so that an unclosed quote is an error and does not swallow the rest of the file."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            skipinitialspace=self.spaced,
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
            strict=True,
        )


def read_delimited(uri: str) -> Iterator[RawRow | Drop]:
    """Rows of a CSV or TSV file under its header; the separator (`,` `;` tab `|`) is found by content.

    Raises:
        InputError: no header, a name that stands twice in it, or bytes that are not text.
    """
    # The csv module's own limit, 128 KiB, is shorter than a document; none would let an open quote take all memory.
    csv.field_size_limit(LONGEST_LINE)
    with decoded(uri) as stream:
        lines = text_lines(stream, uri)
        head = _head(lines)
        dialect = sniff(head, default="\t" if suffix_of(uri) == ".tsv" else ",")
        counted = _Counted(itertools.chain(head, lines))
        rows = _parsed(dialect.reader(counted), counted, uri)
        header: list[str] | None = None
        for line, row in rows:
            if isinstance(row, Drop):
                if header is None:
                    raise InputError(f"{row.source}: {row.detail}", fix="correct the header line")
                yield row
            elif not row:
                continue
            elif header is None:
                header = names_of(row, Source(uri, str(line)))
            else:
                yield _table_row(header, row, Source(uri, str(line)))


def _head(lines: Iterator[str]) -> list[str]:
    """The first lines, not more of them than tell the dialect."""
    head: list[str] = []
    size = 0
    for line in lines:
        head.append(line)
        size += len(line)
        if len(head) == _SNIFFED_LINES or size > _SNIFFED:
            break
    return head


class _Counted:
    """Lines with their number: the line on which a quoted, many-line row began must be told."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.number = 0

    def __iter__(self) -> _Counted:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        return line


def _parsed(rows: Iterator[list[str]], lines: _Counted, uri: str) -> Iterator[tuple[int, list[str] | Drop]]:
    while True:
        first = lines.number + 1
        try:
            row: list[str] | Drop = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            detail = f"not valid delimited text: {error}; is a quotation mark not closed or not doubled?"
            row = Drop("malformed", Source(uri, str(first)), detail, digest(f"{uri}:{first}"))
        yield first, row


def sniff(head: list[str], *, default: str) -> Dialect:
    """The dialect under which the first lines look most like a table: a header of several names, rows as long."""
    best, score = Dialect(default), 0.0
    for delimiter in sorted(",;\t|", key=lambda candidate: candidate != default):
        spaced = delimiter != "\t" and any(f"{delimiter} " in line for line in head[:1])
        for quoted in (True, False) if delimiter == "\t" else (True,):
            dialect = Dialect(delimiter, spaced, quoted)
            reached = _regularity(dialect, head)
            if reached > score:
                best, score = dialect, reached
    return best


def _regularity(dialect: Dialect, head: list[str]) -> float:
    """Share of rows as long as the header, 0 for a single column; a damaged row lowers it."""
    rows: list[list[str]] = []
    try:
        rows.extend(row for row in dialect.reader(iter(head)) if row)
    except csv.Error:
        rows.append([])
    if not rows or len(rows[0]) < 2:
        return 0.0
    return sum(len(row) == len(rows[0]) for row in rows) / len(rows)


def names_of(row: Sequence[str], source: Source) -> list[str]:
    """Column names out of a header; an empty one is called after its place.

    Raises:
        InputError: a name stands twice, or there are far too many.
    """
    if len(row) > _MOST_COLUMNS:
        raise InputError(
            f"{source}: a header of {len(row):,} columns", fix="put a line of distinct column names at the top"
        )
    names = [name.strip() or f"column {number}" for number, name in enumerate(row, start=1)]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise InputError(
            f"{source}: the header names {twice!r} twice", fix="put a line of distinct column names at the top"
        )
    return names


def _table_row(header: list[str], row: list[str], source: Source) -> RawRow | Drop:
    if len(row) > len(header) and any(field.strip() for field in row[len(header) :]):
        detail = f"{len(row)} fields, but the header names {len(header)}; put fields that hold the separator in quotes"
        return Drop("malformed", source, detail, digest(repr(row)))
    return RawRow(dict(zip(header, row, strict=False)), source)
