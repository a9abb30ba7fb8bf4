"""Rows out of every kind of source: which reader takes which suffix, and texts and documents as one row each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from affinage.data.ledger import BadRows, Drop
from affinage.data.reading import arrow, hub, tables, workbooks
from affinage.data.reading.decoding import encoding_of, not_decodable
from affinage.data.reading.json_rows import read_json, read_json_lines
from affinage.data.reading.opening import opened, read_whole
from affinage.data.reading.sources import DOCUMENTS, HUB, JSON_LINES, TEXTS, WORKBOOKS, RawRow, find, suffix_of
from affinage.data.records import Source
from affinage.errors import InputError

Reader = Callable[[str], Iterable[RawRow | Drop]]


def read_rows(uris: Sequence[str | Path], *, bad_rows: BadRows = "error") -> Iterator[RawRow | Drop]:
    """Every row of `uris` in order; what cannot be parsed comes as a `Drop` when `bad_rows` is `"drop"`.

    Raises:
        InputError: a source is missing, empty, unreadable or malformed, with file, line and column.
    """
    for uri in find(uris).uris:
        yield from read_source(uri, bad_rows=bad_rows)


def read_source(uri: str, *, bad_rows: BadRows = "error", notes: list[str] | None = None) -> Iterator[RawRow | Drop]:
    """The rows of one file or one hub name; errors as `read_rows`.

    Args:
        notes: takes what a person should know and no row says, one line each: empty and hidden sheets, cells that
            hold an error, what was left out of a document.
    """
    for row in _reader(uri, [] if notes is None else notes)(uri):
        yield row.settle(bad_rows) if isinstance(row, Drop) else row


def _reader(uri: str, notes: list[str]) -> Reader:
    if uri.startswith(HUB):
        return hub.read_hub
    readers: dict[str, Reader] = {
        **dict.fromkeys(JSON_LINES, read_json_lines),
        ".json": read_json,
        ".csv": tables.read_delimited,
        ".tsv": tables.read_delimited,
        ".parquet": arrow.read_parquet,
        ".arrow": arrow.read_arrow,
        ".feather": arrow.read_arrow,
        **dict.fromkeys(WORKBOOKS, lambda uri: workbooks.read_workbook(uri, notes)),
        **dict.fromkeys(TEXTS, read_text),
        **dict.fromkeys(DOCUMENTS, lambda uri: read_documents(uri, notes)),
    }
    return readers[suffix_of(uri)]


def read_text(uri: str) -> Iterator[RawRow]:
    """The whole file as one row `{"text": ...}`, line ends made `\\n`.

    Raises:
        InputError: the file cannot be read or held, or is not text.
    """
    raw = read_whole(uri)
    with opened(uri) as stream:
        encoding = encoding_of(stream)
    try:
        text = raw.decode(encoding)
    except UnicodeError:
        if encoding not in ("utf-16", "utf-32") and b"\0" in raw:  # no mark says that it would be text
            raise _binary(uri) from None
        raise not_decodable(uri, encoding) from None
    if "\0" in text:
        raise _binary(uri)
    yield RawRow({"text": text.replace("\r\n", "\n").replace("\r", "\n")}, Source(uri))


def _binary(uri: str) -> InputError:
    return InputError(f"{uri}: a binary file, not text", fix="convert it to text first")


def read_documents(uri: str, notes: list[str]) -> Iterator[RawRow | Drop]:
    """The clean text of a document as one row `{"text": ...}`; of a mailbox one row for each message.

    Raises:
        InputError: the package that reads such documents is not installed.
        RunError: no process can be started to read it in.
    """
    from affinage.data.documents.document import DocumentError
    from affinage.data.documents.isolation import Worker

    try:
        with Worker() as worker:
            documents = worker.read(uri)
    except DocumentError as error:
        if error.reason == "unsupported":
            raise
        reason = "malformed" if error.reason == "unreadable" else error.reason
        yield Drop(reason, Source(uri), error.message.removeprefix(f"{uri}: "))
        return
    for document in documents:
        if isinstance(document, Drop):
            yield document
            continue
        left_out = [f"{count:,} {what}" for what, count in sorted(document.removed.items())]
        if document.empty_pages:
            left_out.append(f"{len(document.empty_pages):,} pages without text")
        if left_out:
            notes.append(f"{document.source}: left out: {', '.join(left_out)}")
        notes.extend(document.notes)
        yield RawRow({"text": document.text}, document.source)
