"""Rows out of Parquet and Arrow files, batch by batch."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from affinage.data.reading.opening import MIB, unpacked
from affinage.data.reading.sources import RawRow
from affinage.data.records import Source
from affinage.errors import InputError

_ROWS = 1024  # made into Python values at once


def read_parquet(uri: str) -> Iterator[RawRow]:
    """Rows of a parquet file, in its order, a few pages at a time; a packed file is unpacked to disk.

    Raises:
        InputError: not a parquet file, or a damaged one.
    """
    import pyarrow.parquet as pq

    with unpacked(uri) as path:
        try:
            with pq.ParquetFile(path, buffer_size=MIB, pre_buffer=False) as file:
                yield from _rows(file.iter_batches(batch_size=_ROWS, use_threads=False), uri)
        except Exception as error:  # the library raises a dozen unrelated types for damaged bytes
            raise _unreadable(uri, "parquet", error) from None


def read_arrow(uri: str) -> Iterator[RawRow]:
    """Rows of an Arrow IPC file or stream (Feather too), memory-mapped, each batch checked before it is read.

    Raises:
        InputError: not an Arrow file, or a damaged one.
    """
    import pyarrow as pa

    with unpacked(uri) as path:
        try:
            with pa.memory_map(path) as source:
                yield from _rows(_batches(source), uri)
        except Exception as error:  # as above
            raise _unreadable(uri, "Arrow", error) from None


def _batches(source: Any) -> Iterator[Any]:
    """Record batches of either format."""
    import pyarrow as pa

    head = source.read(6)
    source.seek(0)
    if head == b"ARROW1":
        with pa.ipc.open_file(source) as file:
            for number in range(file.num_record_batches):
                yield file.get_batch(number)
    elif head[:4] == b"FEA1":
        raise ValueError("Feather's first format; write it again as its second, or as parquet")
    else:
        with pa.ipc.open_stream(source) as stream:
            yield from stream


def _rows(batches: Iterator[Any], uri: str) -> Iterator[RawRow]:
    number = 0
    for batch in batches:
        batch.validate(full=True)  # offsets that point elsewhere would be read without a check
        foreign = [field.name for field in batch.schema if not _is_json(field.type)]
        for start in range(0, batch.num_rows, _ROWS):
            part = _whole_microseconds(batch.slice(start, _ROWS))
            for values in part.to_pylist():
                for name in foreign:
                    values[name] = _plain(values[name])
                number += 1
                yield RawRow(values, Source(uri, f"row {number}"))


def _is_json(kind: Any) -> bool:
    """Whether Python values of an Arrow type are JSON values as they are."""
    from pyarrow import types as t

    if t.is_dictionary(kind):
        return _is_json(kind.value_type)
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        return _is_json(kind.value_type)
    if t.is_struct(kind):
        return all(_is_json(kind.field(place).type) for place in range(kind.num_fields))
    text = t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind)
    return bool(text or t.is_integer(kind) or t.is_floating(kind) or t.is_boolean(kind) or t.is_null(kind))


def _whole_microseconds(batch: Any) -> Any:
    """Times in nanoseconds cut to microseconds, the finest that Python knows."""
    import pyarrow as pa

    if not any(pa.types.is_timestamp(kind) and kind.unit == "ns" for kind in batch.schema.types):
        return batch
    columns = [
        column.cast(pa.timestamp("us", column.type.tz), safe=False)
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns"
        else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _plain(value: Any) -> Any:
    """JSON values for what tables hold beside: times as ISO text, decimals as numbers, bytes that are UTF-8 as text."""
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _unreadable(uri: str, kind: str, error: Exception) -> InputError:
    if isinstance(error, InputError):
        return error
    said = next(iter(str(error).splitlines()), "") or type(error).__name__
    return InputError(f"{uri}: not a readable {kind} file: {said[:300]}", fix="download or write it again")
