"""Many files as one corpus: read, rid of duplicates and of what all of them repeat, with everything counted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from affinage.data.documents.boilerplate import without_boilerplate
from affinage.data.documents.document import Document, DocumentError
from affinage.data.documents.isolation import Worker
from affinage.data.documents.limits import Limits
from affinage.data.documents.reading import SUFFIXES
from affinage.data.languages import language_of
from affinage.data.ledger import Drop
from affinage.data.records import Source, Text, digest, normalised
from affinage.errors import InputError

Progress = Callable[[int, int, str], None]
_SHOWN_PAGES = 10


@dataclass(slots=True)
class Corpus:
    """What came of the files. `texts[n]` is the record of `documents[n]`.

    Attributes:
        drops: files and messages that are not in it, each with its reason: `unreadable`, `encrypted`, `no-text`,
            `unsupported`, `duplicate`, `near-duplicate`.
        removed: what was left out of the text of `documents`, counted by kind.
        notes: one line each: a summary, then what a person should know of single documents.
    """

    texts: list[Text] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)


def load_documents(
    uris: Sequence[str | Path],
    *,
    limits: Limits | None = None,
    near_duplicates: bool = True,
    progress: Progress | None = None,
) -> Corpus:
    """Every document of `uris` (files, and folders with all that they hold) as clean text.

    Files are read in a process with bounds on time and memory, so that a damaged or hostile one is a drop and no more.

    Args:
        near_duplicates: drop documents that say nearly the same as an earlier one.
        progress: called with (files done, files in all, the file) after each file.

    Raises:
        InputError: nothing named, a path that does not exist, or no document in it.
    """
    corpus = Corpus()
    files = _files(uris, corpus.notes)
    with Worker(limits) as worker:
        for number, file in enumerate(files, start=1):
            _read(worker, file, corpus)
            if progress is not None:
                progress(number, len(files), file)
    _drop_duplicates(corpus)
    if near_duplicates:
        _drop_near_duplicates(corpus)
    cleaned = without_boilerplate(corpus.documents)
    corpus.documents = [replace(document, language=_language(document)) for document in cleaned]
    corpus.texts = [Text(text=document.text, source=document.source) for document in corpus.documents]
    removed = sum((document.removed for document in corpus.documents), Counter[str]())
    corpus.removed = dict(removed.most_common())
    corpus.notes = [*_summary(corpus), *corpus.notes, *(note for each in corpus.documents for note in _told(each))]
    return corpus


def _files(uris: Sequence[str | Path], notes: list[str]) -> list[str]:
    files: list[str] = []
    for uri in map(Path, uris):
        if uri.is_dir():
            found = [Path(parent, name) for parent, folders, names in _walk(uri) for name in sorted(names)]
            files += (str(file) for file in found if file.suffix.lower() in SUFFIXES)
            others = Counter(file.suffix.lower() or file.name for file in found if file.suffix.lower() not in SUFFIXES)
            if others:
                kinds = ", ".join(f"{suffix} {count:,}" for suffix, count in sorted(others.items()))
                notes.append(f"{uri}: files of other types left aside ({kinds})")
        elif uri.exists():
            files.append(str(uri))
        else:
            raise InputError(f"{uri}: no such file or folder", fix="check the path")
    if not files:
        where = ", ".join(map(str, uris)) or "nothing named"
        raise InputError(f"{where}: no documents", fix=f"readable: {', '.join(SUFFIXES)}")
    return list(dict.fromkeys(files))


def _walk(folder: Path) -> list[tuple[str, list[str], list[str]]]:
    """The tree in order, hidden files and folders passed over."""
    tree = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        tree.append((parent, folders, [name for name in names if not name.startswith(".")]))
    return tree


def _read(worker: Worker, file: str, corpus: Corpus) -> None:
    try:
        found = worker.read(file)
    except DocumentError as error:
        corpus.drops.append(Drop(error.reason, Source(file), _bare(error, file)))
        return
    corpus.documents += (item for item in found if isinstance(item, Document))
    corpus.drops += (item for item in found if isinstance(item, Drop))


def _bare(error: DocumentError, file: str) -> str:
    """The message without the file, which a drop tells by itself."""
    said = error.message.removeprefix(file).removeprefix(":").strip()
    return f"{said}; {error.fix}" if error.fix else said


def _drop_duplicates(corpus: Corpus) -> None:
    first: dict[str, Document] = {}
    for document in corpus.documents:
        key = digest(normalised(document.text))
        if key in first:
            corpus.drops.append(_same("duplicate", document, f"the same as {first[key].source}"))
        else:
            first[key] = document
    corpus.documents = list(first.values())


def _drop_near_duplicates(corpus: Corpus) -> None:
    from affinage.data.duplicates.near_duplicates import clusters

    out: set[int] = set()
    for cluster in clusters([document.text for document in corpus.documents]):
        first, *others = sorted(cluster)
        for other in others:
            says = f"nearly the same as {corpus.documents[first].source}"
            corpus.drops.append(_same("near-duplicate", corpus.documents[other], says))
            out.add(other)
    corpus.documents = [document for number, document in enumerate(corpus.documents) if number not in out]


def _same(reason: str, document: Document, detail: str) -> Drop:
    return Drop(reason, document.source, detail, Text(text=document.text).id)


def _language(document: Document) -> str | None:
    found = language_of(document.text)
    return found[0] if found else None


def _summary(corpus: Corpus) -> list[str]:
    """`12 documents: 10 en, 2 fr; removed: page numbers 34; left out: near-duplicate 1`."""
    languages = Counter(document.language or "unknown language" for document in corpus.documents)
    count = len(corpus.documents)
    parts = [f"{count:,} {'document' if count == 1 else 'documents'}"]
    if languages:
        parts[0] += ": " + ", ".join(f"{number:,} {name}" for name, number in languages.most_common())
    if corpus.removed:
        parts.append("removed: " + ", ".join(f"{what} {number:,}" for what, number in corpus.removed.items()))
    reasons = Counter(drop.reason for drop in corpus.drops)
    if reasons:
        parts.append("left out: " + ", ".join(f"{reason} {number:,}" for reason, number in reasons.most_common()))
    return ["; ".join(parts)]


def _told(document: Document) -> list[str]:
    empty = document.empty_pages
    if not empty:
        return list(document.notes)
    pages = ", ".join(map(str, empty[:_SHOWN_PAGES])) + (" ..." if len(empty) > _SHOWN_PAGES else "")
    which = f"page {pages} has" if len(empty) == 1 else f"pages {pages} have"
    of = f" (of {document.pages:,})" if document.pages else ""
    return [*document.notes, f"{document.source}: {which} no text{of}; scanned pages need text recognition (OCR) first"]
