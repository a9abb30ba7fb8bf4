"""The one door through which a person's data come in: sources -> rows -> records and drops."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from affinage.data.layouts.known import UnknownLayoutError
from affinage.data.ledger import BadRows, Drop
from affinage.data.opening import Reading, open_records
from affinage.data.reading.sources import DOCUMENTS, HUB, WORKBOOKS, find, suffix_of
from affinage.data.records import Record, Source
from affinage.errors import InputError


@dataclass(slots=True)
class Loaded:
    """What came in. `read` = records + drops; `layouts` tells, for each file or hub name, what was taken from where.

    `removed` counts what was taken out of documents (headers, boilerplate, near-duplicates ...), `redactions` the
    placeholders that stand for personal data and secrets, each by kind.
    """

    records: list[Record] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    layouts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)
    redactions: dict[str, int] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The kind that all records are of."""
        return self.records[0].kind

    @property
    def read(self) -> int:
        """Rows read (each instance of a seed task counts)."""
        return len(self.records) + len(self.drops)


def load_records(
    uris: Sequence[str | Path],
    *,
    columns: Mapping[str, str] | None = None,
    bad_rows: BadRows = "error",
    label_separator: str | None = None,
    redact: bool = False,
    refused: list[InputError] | None = None,
) -> Loaded:
    """Every record of `uris`, all of one kind; empty rows and exact duplicates (first kept) are dropped and counted.

    Args:
        columns: role -> column, where the layout shall not be recognised by content (text files are read as they are).
        bad_rows: `"error"` stops at the first damaged row, `"drop"` counts it under its reason.
        label_separator: what stands between several labels in one cell of text.
        redact: put placeholders in the place of personal data and secrets, before duplicates are looked for.
        refused: takes the errors of files that cannot be read, which are then passed over; without it the first of
            them is raised.

    Raises:
        InputError: nothing readable, a damaged row, an unknown layout, several kinds of records, or no record left
            (without a file that was passed over).
    """
    found = find(uris)
    loaded = Loaded(notes=found.notes)
    reading = Reading(columns or {}, bad_rows, label_separator)
    taker = _Taker(loaded, bad_rows, redact)
    documents: list[str] = []
    with _collector_paused():
        taker.take(_rows(found.uris, reading, documents, loaded, refused))
    if documents:  # together, for what they share is taken out of all of them
        taker.take(_texts(documents, loaded))
    if not loaded.records and not refused:
        raise nothing_left(found.uris, loaded.drops)
    return loaded


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Millions of records that stay make Python's cycle collector run over all of them again and again, for nothing:
    a record holds no cycle."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


class _Taker:
    """Puts records into `loaded`: redacted if so wished, each content once, all of one kind."""

    def __init__(self, loaded: Loaded, bad_rows: BadRows, redact: bool) -> None:
        self._loaded = loaded
        self._bad_rows = bad_rows
        self._redact = redact
        self._seen: dict[str, Source] = {}
        self._kind = ""

    def take(self, items: Iterable[Record | Drop]) -> None:
        """Raises:
        InputError: a damaged row that may not be dropped, or a second kind of records.
        """
        loaded, seen = self._loaded, self._seen
        for item in _redacted(items, loaded.redactions) if self._redact else items:
            if isinstance(item, Drop):
                loaded.drops.append(item.settle(self._bad_rows))
                continue
            identity = item.id
            if identity in seen:
                loaded.drops.append(Drop("duplicate", item.source, f"the same as {seen[identity]}", identity))
                continue
            seen[identity] = item.source
            loaded.records.append(item)
            if item.kind != self._kind:
                if self._kind:
                    raise _mixed(loaded.records[0], item)
                self._kind = item.kind


def _rows(
    uris: Sequence[str], reading: Reading, documents: list[str], loaded: Loaded, refused: list[InputError] | None
) -> Iterator[Record | Drop]:
    """Records and drops of all files in order, but of documents, which are put into `documents`."""
    for uri in uris:
        if _is(uri, DOCUMENTS):
            documents.append(uri)
            continue
        try:
            yield from _rows_of(uri, reading, documents, loaded)
        except InputError as error:
            if refused is None:
                raise
            refused.append(error)


def _rows_of(uri: str, reading: Reading, documents: list[str], loaded: Loaded) -> Iterator[Record | Drop]:
    try:
        source = open_records(uri, reading, loaded.notes)
    except UnknownLayoutError:
        if not _is(uri, WORKBOOKS) or reading.columns:
            raise
        loaded.notes.append(f"{uri}: no table of a known layout, read as a document")
        documents.append(uri)
        return
    if source.layout:
        loaded.layouts[uri] = source.layout
    yield from source.records


def _is(uri: str, suffixes: Sequence[str]) -> bool:
    return not uri.startswith(HUB) and suffix_of(uri) in suffixes


def _texts(uris: Sequence[str], loaded: Loaded) -> Iterator[Record | Drop]:
    from affinage.data.documents.corpus import load_documents

    corpus = load_documents(uris)
    loaded.layouts |= dict.fromkeys(uris, "document: its clean text")
    loaded.notes += corpus.notes
    empty = sum(len(document.empty_pages) for document in corpus.documents)
    loaded.removed = {**corpus.removed, **({"pages without text": empty} if empty else {})}
    yield from corpus.drops
    yield from corpus.texts


def _redacted(items: Iterable[Record | Drop], counts: dict[str, int]) -> Iterator[Record | Drop]:
    from affinage.data.redaction import redacted

    for item in items:
        if isinstance(item, Drop):
            yield item
            continue
        record, found = redacted(item)
        for kind, count in found.items():
            counts[kind] = counts.get(kind, 0) + count
        yield record


def _mixed(first: Record, other: Record) -> InputError:
    return InputError(
        f"the data are of two kinds: {first.source} is {first.kind}, {other.source} is {other.kind}",
        fix="one run learns from one kind; name files of one kind, or map the columns with --set columns.ROLE=NAME",
    )


def nothing_left(uris: Sequence[str], drops: Sequence[Drop]) -> InputError:
    """What to say where every row was dropped, or there was none."""
    where = uris[0] if len(uris) == 1 else f"{uris[0]} and {len(uris) - 1} more"
    if not drops:
        return InputError(f"{where}: no rows", fix="check that the file holds more than a header")
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in Counter(d.reason for d in drops).most_common())
    return InputError(
        f"{where}: no row is left to learn from; dropped: {reasons}",
        fix=f"the first: {drops[0].source}: {drops[0].detail}",
    )
