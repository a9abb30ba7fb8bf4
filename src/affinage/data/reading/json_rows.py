"""Rows out of JSON lines and whole JSON files, and reasons for what is not JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from affinage.data.ledger import Drop
from affinage.data.reading.decoding import TOO_LONG, UTF8, byte_lines, encoding_of, not_decodable
from affinage.data.reading.legacy import guess
from affinage.data.reading.opening import opened, read_whole
from affinage.data.reading.sources import RawRow, raw_id
from affinage.data.records import Source, digest
from affinage.errors import InputError

# Lists of objects that belong to one row, so that a JSON object holding one is itself a row.
_PARTS_OF_A_ROW = frozenset(
    [
        "messages",
        "conversations",
        "conversation",
        "dialogue",
        "dialog",
        "instances",
        "answers",
        "tools",
        "functions",
        "history",
        "chosen",
        "rejected",
        "prompt",
        "completion",
        "response",
        "completions",
        "responses",
        "replies",
        "candidates",
        "pos",
        "neg",
        "positive_passages",
        "negative_passages",
    ]
)

# What JSON does not have, found where the parser stopped.
_FOREIGN = (
    (re.compile(rb"-?(NaN|Infinity|nan|inf)\b"), "{} is not JSON; write null"),
    (re.compile(rb"(True|False|None)\b"), "{} is Python, not JSON; write true, false or null"),
    (re.compile(rb"'"), "strings and keys stand in double quotes"),
)


def read_json_lines(uri: str) -> Iterator[RawRow | Drop]:
    """One object a line, blank lines skipped; a file that is one JSON list after all is read as that.

    Raises:
        InputError: the file cannot be read, or its bytes are not text.
    """
    with opened(uri) as stream:
        for number, line in enumerate(byte_lines(stream, uri), start=1):
            if number == 1 and line is not None and line.lstrip().startswith(b"["):
                break
            if line is None or (line and not line.isspace()):
                yield parse_line(line, Source(uri, str(number)))
        else:
            return
    yield from read_json(uri)


def parse_line(line: bytes | None, source: Source) -> RawRow | Drop:
    """The row on one line; None stands for a line that was too long to be held."""
    if line is None:
        return Drop("malformed", source, TOO_LONG)
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Drop("malformed", source, _reason(line, error), digest(line))
    return RawRow(value, source) if type(value) is dict else _row(value, source)


def read_json(uri: str) -> Iterator[RawRow | Drop]:
    """A list of objects, an object that holds one such list, one object, or (by mistake) one object a line.

    Raises:
        InputError: not JSON, not rows, or more than fits in memory.
    """
    if _is_lines(uri):
        yield from read_json_lines(uri)
        return
    raw = _utf8(uri)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _not_json(uri, raw, error) from None
    del raw
    for number, item in enumerate(_rows_in(value, uri), start=1):
        yield _row(item, Source(uri, f"row {number}"))


def _is_lines(uri: str) -> bool:
    """Whether the first line is an object of its own and more follows: then no single value can be meant."""
    with opened(uri) as stream:
        lines = (line for line in byte_lines(stream, uri) if line is None or line.strip())
        try:
            first = next(lines, None)
            return first is not None and type(orjson.loads(first)) is dict and next(lines, b"") != b""
        except orjson.JSONDecodeError:
            return False


def _utf8(uri: str) -> bytearray:
    """The whole file in UTF-8, without a byte-order mark."""
    raw = read_whole(uri)
    with opened(uri) as stream:
        encoding = encoding_of(stream)
    if encoding == UTF8:
        return raw[3:] if raw.startswith(b"\xef\xbb\xbf") else raw
    try:
        return bytearray(raw.decode(encoding).encode("utf-8"))
    except UnicodeError:
        raise not_decodable(uri, encoding) from None


def _not_json(uri: str, raw: bytearray, error: orjson.JSONDecodeError) -> InputError:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return not_decodable(uri)
    # The parser tells places in characters, of which it keeps a copy; the line is cut out of the bytes.
    start = len(error.doc[: error.pos].encode()) if isinstance(error.doc, str) else error.pos
    end = min(start + 64, len(raw))
    return InputError(
        f"{uri}:{error.lineno}: column {error.colno}, not valid JSON: {_hint(bytes(raw[start:end]), error)}",
        fix="correct the file there; one object a line belongs in a .jsonl file",
    )


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


def _reason(line: bytes, error: orjson.JSONDecodeError) -> str:
    """Why a line is not a row: its column, and what stands there."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as wrong:
        byte = f"byte 0x{line[wrong.start]:02x}"
        near = guess(line[max(wrong.start - 64, 0) : wrong.start + 4096])
        return f"column {wrong.start + 1}, not UTF-8 ({byte}); save the file as UTF-8 (it is probably {near})"
    return f"column {error.colno}, not valid JSON: {_hint(text[error.pos : error.pos + 64].encode(), error)}"


def _hint(rest: bytes, error: orjson.JSONDecodeError) -> str:
    """The parser's own words, unless what stands at its place tells more."""
    if error.msg.startswith("unexpected content"):
        return "a second value follows the first; one object a line" if rest[:1] in b'{["' else error.msg
    if error.msg.startswith("no digit"):  # after a minus sign
        rest = b"-" + rest
    for pattern, words in _FOREIGN:
        if found := pattern.match(rest):
            return words.format(found.group().decode())
    return error.msg


def _name(value: Any) -> str:
    names = {list: "list", str: "string", bool: "true/false", int: "number", float: "number", type(None): "null"}
    return names.get(type(value), type(value).__name__)
