"""Rows out of files: JSON lines, JSON and text here, tables and the hub in their own modules."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from affinage.data import hub, tables
from affinage.data.ledger import BadRows, Drop
from affinage.data.records import Source, digest
from affinage.data.sources import HUB, TEXTS, RawRow, decoded, encoding_of, find, opened, raw_id, suffix_of
from affinage.errors import InputError

# Lists of objects that belong to one row, so that a JSON object holding one is itself a row.
_PARTS_OF_A_ROW = frozenset({"messages", "conversations", "conversation", "instances", "answers", "tools", "history"})


def read_rows(uris: Sequence[str | Path], *, bad_rows: BadRows = "error") -> Iterator[RawRow | Drop]:
    """Every row of `uris` in order; what cannot be parsed comes as a `Drop` when `bad_rows` is `"drop"`.

    Raises:
        InputError: a source is missing, empty, unreadable or malformed, with file, line and column.
    """
    for uri in find(uris).uris:
        yield from read_source(uri, bad_rows=bad_rows)


def read_source(uri: str, *, bad_rows: BadRows = "error") -> Iterator[RawRow | Drop]:
    """The rows of one file or one hub name; errors as `read_rows`."""
    for row in _reader(uri)(uri):
        yield row.settle(bad_rows) if isinstance(row, Drop) else row


def _reader(uri: str) -> Callable[[str], Iterable[RawRow | Drop]]:
    if uri.startswith(HUB):
        return hub.read_hub
    readers: dict[str, Callable[[str], Iterable[RawRow | Drop]]] = {
        ".jsonl": read_json_lines,
        ".ndjson": read_json_lines,
        ".json": read_json,
        ".csv": tables.read_delimited,
        ".tsv": tables.read_delimited,
        ".parquet": tables.read_parquet,
        **dict.fromkeys(TEXTS, read_text),
    }
    return readers[suffix_of(uri)]


def read_json_lines(uri: str) -> Iterator[RawRow | Drop]:
    """One object a line, blank lines skipped; a file that is one JSON list after all is read as that."""
    with opened(uri) as stream:
        for number, line in enumerate(_byte_lines(stream), start=1):
            if not line.strip():
                continue
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                if number == 1 and line.lstrip().startswith(b"["):
                    break
                yield _malformed(Source(uri, str(number)), line, error)
                continue
            if number == 1 and isinstance(value, list):
                break
            yield _row(value, Source(uri, str(number)))
        else:
            return
    yield from read_json(uri)


def read_json(uri: str) -> Iterator[RawRow | Drop]:
    """A list of objects, an object that holds one such list, one object, or (by mistake) one object a line."""
    with opened(uri) as stream:
        raw = b"".join(_byte_lines(stream))
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if _first_line_is_an_object(raw):
            yield from read_json_lines(uri)
            return
        raise InputError(
            f"{uri}:{error.lineno}: column {error.colno}, not valid JSON: {error.msg}",
            fix="correct the file there; one object a line belongs in a .jsonl file",
        ) from None
    for number, item in enumerate(_rows_in(value, uri), start=1):
        yield _row(item, Source(uri, f"row {number}"))


def read_text(uri: str) -> Iterator[RawRow]:
    """The whole file as one row `{"text": ...}`, line ends made `\\n`."""
    with decoded(uri) as stream:
        text = stream.read().replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise InputError(f"{uri}: a binary file, not text", fix="convert it to text first")
    yield RawRow({"text": text}, Source(uri))


def _byte_lines(stream: io.BufferedReader) -> Iterator[bytes]:
    """Lines in UTF-8 without a byte-order mark, other encodings with a mark recoded."""
    encoding = encoding_of(stream)
    if encoding != "utf-8-sig":
        try:
            for line in io.TextIOWrapper(stream, encoding=encoding):
                yield line.encode("utf-8")
        except UnicodeError:
            raise InputError(f"{stream.name}: not valid {encoding.upper()}", fix="save the file as UTF-8") from None
        return
    for number, raw in enumerate(stream):
        yield raw.removeprefix(b"\xef\xbb\xbf") if number == 0 else raw


def _first_line_is_an_object(raw: bytes) -> bool:
    first, _, rest = raw.strip().partition(b"\n")
    try:
        return bool(rest.strip()) and isinstance(orjson.loads(first), dict)
    except orjson.JSONDecodeError:
        return False


def _rows_in(value: Any, uri: str) -> list[Any]:
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise InputError(f"{uri}: holds one {_name(value)}, not rows", fix="a list of objects is expected")
    lists = [
        key
        for key, inner in value.items()
        if key not in _PARTS_OF_A_ROW and isinstance(inner, list) and inner and all(isinstance(i, dict) for i in inner)
    ]
    if len(lists) > 1:
        raise InputError(
            f"{uri}: holds several lists of rows ({', '.join(lists)})", fix="keep each list in a file of its own"
        )
    rows: list[Any] = value[lists[0]] if lists else [value]
    return rows


def _row(value: Any, source: Source) -> RawRow | Drop:
    if isinstance(value, dict):
        return RawRow(value, source)
    return Drop("wrong-type", source, f"a row is an object, found a {_name(value)}", raw_id(value))


def _malformed(source: Source, line: bytes, error: orjson.JSONDecodeError) -> Drop:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as wrong:
        detail = f"column {wrong.start + 1}, not UTF-8 (byte 0x{line[wrong.start]:02x}); save the file as UTF-8"
        return Drop("malformed", source, detail, digest(line))
    return Drop("malformed", source, f"column {error.colno}, not valid JSON: {error.msg}", digest(line))


def _name(value: Any) -> str:
    names = {list: "list", str: "string", bool: "true/false", int: "number", float: "number", type(None): "null"}
    return names.get(type(value), type(value).__name__)
