"""What a person gives to start from: seeds (instructions with their answers), or documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from affinage.data.load import load_records
from affinage.data.reading.readers import read_source
from affinage.data.reading.sources import HUB, RawRow, find
from affinage.data.records import Chat, Message, Preference, Prompt, Rated, Record, Source, Text
from affinage.errors import InputError
from affinage.synthesis.passages import Reading

_NO_INPUT = frozenset({"no input", "<noinput>", "noinput", "n/a", "none"})  # what people write for nothing


@dataclass(frozen=True, slots=True)
class Seed:
    """One instruction.

    Attributes:
        instruction: what is asked, without its input.
        input: what it is asked of; often empty.
        output: the answer; empty where there is none.
        classification: whether the answer is one of a few labels; None where nobody said.
        turns: the whole prompt as a conversation.
    """

    instruction: str
    input: str
    output: str
    classification: bool | None
    turns: tuple[Message, ...]
    source: Source

    @property
    def asked(self) -> str:
        """The instruction with its input."""
        return paragraphs(self.instruction, self.input)


@dataclass(frozen=True, slots=True)
class Material:
    """Either seeds or readings. `drops`: rows or files that are not in it, by reason."""

    seeds: tuple[Seed, ...] = ()
    readings: tuple[Reading, ...] = ()
    drops: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()


def read_material(uris: Sequence[str | Path], columns: Mapping[str, str] | None = None) -> Material:
    """Seeds where the rows hold instructions or chats, readings where they hold texts, and for documents.

    Rows with an `instruction` keep it apart from its input (seed tasks with their first instance).

    Raises:
        InputError: nothing can be read, the rows hold neither, or documents and tables are mixed.
    """
    from affinage.data.documents.reading import SUFFIXES

    found = find(uris).uris
    tables = [uri for uri in found if uri.startswith(HUB) or Path(uri).suffix.lower() not in SUFFIXES]
    workbooks = [uri for uri in found if uri not in tables and Path(uri).suffix.lower() in _SHEETS]
    documents = [uri for uri in found if uri not in tables]
    if documents == workbooks:  # spreadsheets alone are tables
        return _rows(uris, found, columns)
    named = [uri for uri in tables if uri in map(str, uris)]
    if named:
        raise InputError(f"{named[0]} is a table, {documents[0]} a document", fix="name one kind of data")
    return _documents(documents, tables)


_SHEETS = (".xlsx", ".xlsm", ".xls", ".ods")


def cleaned(material: Material) -> tuple[Material, Counter[str]]:
    """The same with placeholders for secrets and personal data, and how many of each kind there were."""
    from affinage.data.redaction import redact

    counts: Counter[str] = Counter()

    def clean(text: str) -> str:
        said, found = redact(text)
        counts.update(found)
        return said

    seeds = []
    for seed in material.seeds:
        turns = tuple(replace(turn, content=clean(turn.content)) for turn in seed.turns)
        # parts of the turns: what is found there has been counted
        instruction, given = redact(seed.instruction)[0], redact(seed.input)[0]
        output = clean(seed.output)
        seeds.append(replace(seed, instruction=instruction, input=given, output=output, turns=turns))
    readings = []
    for reading in material.readings:
        hidden, found = reading.redacted()
        counts.update(found)
        readings.append(hidden)
    return replace(material, seeds=tuple(seeds), readings=tuple(readings)), counts


def _rows(uris: Sequence[str | Path], found: Sequence[str], columns: Mapping[str, str] | None) -> Material:
    if not columns and (rows := _instruction_rows(found)) is not None:
        seeds = [_seed_of_row(row) for row in rows]
        return Material(seeds=(kept := tuple(_distinct(seeds))), drops=_counted(duplicate=len(seeds) - len(kept)))
    loaded = load_records(uris, columns=dict(columns) if columns else None)
    reasons = Counter(drop.reason for drop in loaded.drops)
    texts = [record for record in loaded.records if isinstance(record, Text)]
    if texts:
        readings = tuple(Reading(text.text, text.source) for text in texts)
        return Material(readings=readings, drops=_counted(**reasons), notes=tuple(loaded.notes))
    seeds = [_seed_of_record(record) for record in loaded.records]
    kept = tuple(_distinct(seeds))
    reasons["duplicate"] += len(seeds) - len(kept)
    return Material(seeds=kept, drops=_counted(**reasons), notes=tuple(loaded.notes))


def _documents(files: Sequence[str], aside: Sequence[str]) -> Material:
    from affinage.data.documents.corpus import load_documents

    corpus = load_documents(files)
    if not corpus.documents:
        first = corpus.drops[0]
        raise InputError(f"{first.source}: {first.detail or first.reason}", fix="name a document that holds text")
    readings = tuple(Reading(document.text, document.source, document) for document in corpus.documents)
    notes = [*corpus.notes, *(f"{drop.source}: left out: {drop.detail or drop.reason}" for drop in corpus.drops)]
    notes += [f"tables left aside: {', '.join(aside)}"] if aside else []
    return Material(readings=readings, drops=_counted(**Counter(d.reason for d in corpus.drops)), notes=tuple(notes))


def _counted(**reasons: int) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((reason, count) for reason, count in reasons.items() if count))


def _instruction_rows(uris: Sequence[str]) -> list[RawRow] | None:
    """All rows, where every file is JSON and every row has an `instruction`."""
    rows: list[RawRow] = []
    for uri in uris:
        if not (uri.startswith(HUB) or any(suffix in (".jsonl", ".json") for suffix in Path(uri).suffixes[-2:])):
            return None
        for row in read_source(uri, bad_rows="drop"):
            if not isinstance(row, RawRow) or not _said(row.values.get("instruction")):
                return None
            rows.append(row)
    return rows or None


def _said(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _seed_of_row(row: RawRow) -> Seed:
    values = row.values
    instances = values.get("instances")
    first = instances[0] if isinstance(instances, list) and instances and isinstance(instances[0], Mapping) else values
    texts = [str(first.get(name) or "").strip() for name in ("input", "output")]
    if texts[0].casefold() in _NO_INPUT:
        texts[0] = ""
    answer = texts[1] or str(values.get("response") or "").strip()
    kind = values.get("is_classification")
    instruction = str(values["instruction"]).strip()
    turns = (Message("user", paragraphs(instruction, texts[0])),)
    return Seed(instruction, texts[0], answer, kind if isinstance(kind, bool) else None, turns, row.source)


def _seed_of_record(record: Record) -> Seed:
    if isinstance(record, Chat):
        turns, answer = record.prompt, record.reference
    elif isinstance(record, Prompt):
        turns, answer = record.messages, record.reference or ""
    elif isinstance(record, Preference):
        turns, answer = record.messages, record.best.content
    elif isinstance(record, Rated):
        turns, answer = record.messages, ""
    else:
        raise InputError(
            f"{record.source}: a {record.kind} row holds neither an instruction nor a document",
            fix="name the columns: --column prompt=NAME (and response=NAME), or text=NAME",
        )
    asked = next((turn.content for turn in reversed(turns) if turn.role == "user"), "")
    return Seed(asked.strip(), "", answer.strip(), None, turns, record.source)


def paragraphs(*texts: str) -> str:
    """Those that are not empty, a blank line between them."""
    return "\n\n".join(filter(None, texts))


def _distinct(seeds: Sequence[Seed]) -> list[Seed]:
    """The first of equal prompts."""
    kept: dict[tuple[Any, ...], Seed] = {}
    for seed in seeds:
        kept.setdefault(tuple((turn.role, turn.content) for turn in seed.turns), seed)
    return list(kept.values())
