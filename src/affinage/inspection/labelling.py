"""Findings on labels: too few rows, too uneven, written in several ways, at odds with each other, given away."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from affinage.data.records import Label, Labelled
from affinage.inspection.catalogue import Severity
from affinage.inspection.findings import NAMED, Finding, examples
from affinage.inspection.material import Material

_RARE = 10  # rows of a label; fewer leave one or none to hold out
_UNEVEN = 10  # most frequent label / least frequent one
_DOMINANT = 0.8  # share of rows under one label
_SEPARATORS = re.compile(r"[\s_\-./]+")
_WORDS = re.compile(r"\w+")
_LOOKED_AT = 5_000  # labelled texts in which names of labels are looked for
_GIVEN_AWAY = 0.1  # of the texts name a label ...
_RIGHT = 0.95  # ... and so often it is their own
_NAMES = 300  # labels whose names are looked for


def names(label: Label) -> tuple[str, ...]:
    """The names that a label is made of: one, several, or none for a number."""
    if isinstance(label, tuple):
        return label
    return (label,) if isinstance(label, str) else ()


def counts(material: Material) -> Counter[str]:
    """Rows of each name of a label."""
    return Counter(name for record in material.labelled for name in names(record.label))


def few_labels(material: Material) -> Iterator[Finding]:
    """One label only, labels with one row, labels with few rows."""
    values = Counter(record.label for record in material.labelled)
    if len(values) == 1 and material.objective == "classify":
        message = f"there is one label only ({next(iter(values))!r}): nothing to tell apart"
        fix = "check that the label column is the right one (--set columns.label=NAME)"
        yield Finding("one-label", material.blocking, message, 1, examples([material.labelled[0].source]), fix)
    by_name = counts(material)
    once = [label for label, count in by_name.items() if count == 1]
    if once:
        message = f"labels seen once only, which cannot be both learned and held out: {_named(once)}"
        fix = "add rows of these labels, merge them into others, or remove them"
        yield Finding("label-once", material.blocking, message, len(once), _places(material, once), fix)
    rare = [label for label, count in by_name.items() if 1 < count < _RARE]
    if rare:
        message = f"labels with fewer than {_RARE} rows, too few to measure: {_named(rare)}"
        fix = "add rows of these labels, or merge them into others"
        yield Finding("rare-label", "warning", message, len(rare), _places(material, rare), fix)


def uneven_labels(material: Material) -> Iterator[Finding]:
    """The share that a model reaches by always naming the most frequent label."""
    if any(not isinstance(record.label, str) for record in material.labelled):
        return
    ranked = counts(material).most_common()
    if len(ranked) < 2:
        return
    (label, most), (_, least) = ranked[0], ranked[-1]
    share = most / len(material.labelled)
    if share >= _DOMINANT or most >= _UNEVEN * least:
        right = f"always answering {label!r} is right in {100 * share:.1f} % of the rows"
        message = f"{right}; the rarest label has {least:,} row{'s' * (least > 1)}"
        fix = "read macro-F1 beside accuracy"
        severity: Severity = "warning" if share >= _DOMINANT else "note"
        yield Finding("uneven-labels", severity, message, most, _places(material, [label]), fix)


def label_variants(material: Material) -> Iterator[Finding]:
    """Labels that differ in case, spaces or separators alone."""
    by_name = counts(material)
    variants: dict[str, list[str]] = defaultdict(list)
    for label in by_name:
        variants[_SEPARATORS.sub("", unicodedata.normalize("NFKC", label).casefold()) or label].append(label)
    for labels in variants.values():
        if len(labels) < 2:
            continue
        labels.sort(key=lambda label: -by_name[label])
        shown = ", ".join(f"{label!r} ({by_name[label]:,})" for label in labels)
        message = f"labels that differ in case or separators alone: {shown}"
        fix = "write them in one way, if they mean the same"
        yield Finding("label-variants", "warning", message, len(labels), _places(material, labels[1:]), fix)


def contradictory_labels(material: Material) -> Iterator[Finding]:
    """One text under several labels."""
    by_text: dict[str, list[Labelled]] = defaultdict(list)
    for record in material.labelled:
        by_text[record.split_key].append(record)
    groups = [records for records in by_text.values() if len({record.label for record in records}) > 1]
    if groups:
        found = [record for records in groups for record in records]
        message = f"texts that stand under different labels: {len(groups):,} ({len(found):,} rows)"
        places = examples(record.source for record in found)
        fix = "decide on one label for each text"
        yield Finding("contradictory-labels", "warning", message, len(found), places, fix)


def labels_in_texts(material: Material) -> Iterator[Finding]:
    """Texts that name one label alone, and nearly always their own: the name gives the answer away."""
    phrases = {phrase: label for label in counts(material) if len(phrase := _words(label)) > 2 + len("  ")}
    records = [record for record in material.labelled if names(record.label)]
    records = records[:: max(1, -(-len(records) // _LOOKED_AT))]
    if not 2 <= len(phrases) <= _NAMES or not records:
        return
    naming, right = 0, []
    for record in records:
        said = _words(record.text)
        named = [label for phrase, label in phrases.items() if phrase in said]
        if len(named) == 1:
            naming += 1
            if named[0] in names(record.label):
                right.append(record)
    if naming >= max(NAMED, _GIVEN_AWAY * len(records)) and len(right) >= _RIGHT * naming:
        message = (
            f"texts that name one label, which in {100 * len(right) / naming:.0f} % of them is their own:"
            f" {naming:,} of {len(records):,}"
        )
        fix = "take the label out of the text, unless it stands there when the model is used too"
        places = examples(record.source for record in right)
        yield Finding("label-in-text", "warning", message, len(right), places, fix)


def unseen_labels(material: Material) -> Iterator[Finding]:
    """Labels of validation and held-out rows that no training row has."""
    if not material.sides or not material.labelled:
        return
    known = {name for record in _on(material, "train") for name in names(record.label)}
    found: dict[str, list[Labelled]] = defaultdict(list)
    for record in (*_on(material, "validation"), *_on(material, "held_out")):
        for name in names(record.label):
            if name not in known:
                found[name].append(record)
    if found:
        rows = [record for records in found.values() for record in records]
        message = f"labels that are held out but never trained on: {_named(list(found))} ({len(rows):,} rows)"
        fix = "add rows of these labels, or split otherwise"
        yield Finding("unseen-label", "warning", message, len(found), examples(r.source for r in rows), fix)


def _on(material: Material, side: str) -> list[Labelled]:
    rows = (material.records[number] for number in material.sides.get(side, ()))
    return [record for record in rows if isinstance(record, Labelled)]


def _words(text: str) -> str:
    """The words of `text` in lower case, one space between them and around them."""
    return f" {' '.join(_WORDS.findall(text.replace('_', ' ').casefold()))} "


def _places(material: Material, labels: list[str]) -> tuple[dict[str, Any], ...]:
    """The first row of each of `labels`."""
    first: dict[str, Labelled] = {}
    for record in material.labelled:
        for name in names(record.label):
            first.setdefault(name, record)
    return examples(first[label].source for label in labels)


def _named(labels: Sequence[str]) -> str:
    return ", ".join(map(repr, labels[:NAMED])) + (f" and {len(labels) - NAMED} more" if len(labels) > NAMED else "")
