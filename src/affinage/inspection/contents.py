"""Findings on what the texts say: missing values as text, secrets and personal data, several languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from affinage.data.records import Chat, Labelled, Pair, Record, Source
from affinage.data.wording import contents
from affinage.inspection.catalogue import Severity
from affinage.inspection.findings import NAMED, Finding, example, examples
from affinage.inspection.material import Material

_NULLS = frozenset({"nan", "null", "nil", "nat", "n/a", "#n/a", "<na>", "<null>", "undefined", "(null)", "\\n"})
_WRITTEN = "None"  # as a program writes it; people write "none"
_FEW = 0.01  # share of rows up to which an answer of that name may well be meant
_SECOND = 0.05  # share of rows in another than the most frequent language
_AROUND = 20  # characters shown on each side of what was redacted
_GRAVE = frozenset({"IBAN", "CARD", "NIR", "SSN"})
_MANY = 0.25  # share of rows with an address or a phone number; the imprint of a few documents is below it
_SHOWN = 40  # characters of one placeholder's surroundings


def nulls(material: Material) -> Iterator[Finding]:
    """Texts, prompts and answers that consist of a missing value's name, and labels that are `nan`."""
    found = [(record, said) for record in material.records if (said := _null(record)) is not None]
    if found:
        words = ", ".join(repr(word) for word, _ in Counter(said for _, said in found).most_common(NAMED))
        message = f"rows in which a missing value became text ({words}): {len(found):,} of {len(material.records):,}"
        places = tuple(example(record.source, found=said) for record, said in found[:NAMED])
        fix = "leave such cells empty where the table is written"
        severity: Severity = "warning" if len(found) > _FEW * len(material.records) else "note"
        yield Finding("null-as-text", severity, message, len(found), places, fix)


def _null(record: Record) -> str | None:
    if isinstance(record, Labelled) and str(record.label).casefold() == "nan":
        return str(record.label)
    if isinstance(record, Pair):
        texts: Iterable[str] = (record.query, record.passage)
    else:
        texts = contents(record) if not isinstance(record, Chat) else (turn.content for turn in record.messages)
    return next((text for text in texts if len(text) < 12 and _names_nothing(text.strip())), None)


def _names_nothing(word: str) -> bool:
    return word == _WRITTEN or word.casefold() in _NULLS


def sensitive(material: Material) -> Iterator[Finding]:
    """Secrets and personal data by their shape; examples are shown redacted."""
    from affinage.data.redaction import SECRETS, find

    rows: dict[str, list[tuple[Source, str]]] = {"secret": [], "personal-data": []}
    kinds: dict[str, Counter[str]] = {"secret": Counter(), "personal-data": Counter()}
    for record, text in zip(material.sample, material.texts, strict=True):
        spans = find(text)
        for code in {"secret" if span.kind in SECRETS else "personal-data" for span in spans}:
            mine = [span for span in spans if (span.kind in SECRETS) == (code == "secret")]
            kinds[code].update(span.kind for span in mine)
            first = mine[0]
            rows[code].append((record.source, f"{_before(text, first.start)}[{first.kind}]"))
    says = {"secret": "keys, tokens or passwords", "personal-data": "personal data"}
    for code, found in rows.items():
        if found:
            told = ", ".join(f"{kind} {count:,}" for kind, count in kinds[code].most_common())
            message = f"rows with {says[code]} by their shape: {len(found):,} ({told}){material.sampled}"
            places = tuple(example(source, found=shown) for source, shown in found[:NAMED])
            fix = "--set redact=true puts placeholders such as [EMAIL] in their place"
            harmless = (
                code == "personal-data"
                and not kinds[code].keys() & _GRAVE
                and len(found) < _MANY * len(material.sample)
            )
            yield Finding(code, "note" if harmless else "warning", message, len(found), places, fix)


def _before(text: str, start: int) -> str:
    """The few words before a place, themselves redacted."""
    from affinage.data.redaction import redact

    return redact(text[:start][-_SHOWN * 4 :])[0][-_AROUND:].replace("\n", " ")


def mixed_languages(material: Material) -> Iterator[Finding]:
    """Rows in other languages than the most frequent one."""
    counted = material.languages
    if counted is None or len(counted.shares) < 2:
        return
    (first, share), *others = counted.shares.items()
    others = [(name, part) for name, part in others if part >= _SECOND]
    if others:
        told = ", ".join(f"{name} {100 * part:.0f} %" for name, part in [(first, share), *others])
        message = f"the rows are in several languages: {told} (of {counted.looked_at:,} rows looked at)"
        places: tuple[dict[str, Any], ...] = examples(counted.first[name] for name, _ in others)
        fix = "fine where it is meant; else keep one language"
        yield Finding("mixed-languages", "note", message, round(counted.looked_at * (1 - share)), places, fix)
