"""Rows out of delimited text and parquet."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from affinage.data.ledger import Drop
from affinage.data.records import Source, digest
from affinage.data.sources import RawRow, decoded, opened, suffix_of
from affinage.errors import InputError

_SNIFFED_LINES = 50
_LONGEST_FIELD = 2**31 - 1  # the csv module's own limit, 128 KiB, is shorter than a document


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
    csv.field_size_limit(_LONGEST_FIELD)
    with decoded(uri) as stream:
        head = list(itertools.islice(stream, _SNIFFED_LINES))
        dialect = sniff(head, default="\t" if suffix_of(uri) == ".tsv" else ",")
        counted = _Counted(itertools.chain(head, stream))
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
                header = _names(row, uri, line)
            else:
                yield _table_row(header, row, Source(uri, str(line)))


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


def _names(row: list[str], uri: str, line: int) -> list[str]:
    names = [name.strip() or f"column {number}" for number, name in enumerate(row, start=1)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"{uri}:{line}: the header names {twice!r} twice", fix="put a line of distinct column names at the top"
        )
    return names


def _table_row(header: list[str], row: list[str], source: Source) -> RawRow | Drop:
    if any(field.strip() for field in row[len(header) :]):
        detail = f"{len(row)} fields, but the header names {len(header)}; put fields that hold the separator in quotes"
        return Drop("malformed", source, detail, digest(repr(row)))
    return RawRow(dict(zip(header, row, strict=False)), source)


def read_parquet(uri: str) -> Iterator[RawRow]:
    """Rows of a parquet file, in its order.

    Raises:
        InputError: not a parquet file, or a damaged one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    with opened(uri) as stream:
        source: Any = pa.BufferReader(stream.read()) if uri.lower().endswith(".gz") else stream
        try:
            for batch in pq.ParquetFile(source).iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    number += 1
                    yield RawRow(values, Source(uri, f"row {number}"))
        except (pa.ArrowException, ValueError) as error:
            raise InputError(
                f"{uri}: not a readable parquet file: {str(error).splitlines()[0]}", fix="download or write it again"
            ) from None
