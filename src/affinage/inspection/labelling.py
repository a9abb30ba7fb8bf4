"""Findings on labels: too few rows, too uneven, written in several ways, or at odds with each other."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator

from affinage.data.records import Labelled
from affinage.inspection.findings import NAMED, Finding, Severity, examples
from affinage.inspection.material import Material

_RARE = 10  # rows of a label; fewer leave one or none to hold out
_UNEVEN = 10  # most frequent label / least frequent one
_DOMINANT = 0.8  # share of rows under one label
_SEPARATORS = re.compile(r"[\s_\-./]+")


def few_labels(material: Material) -> Iterator[Finding]:
    """One label only, labels with one row, labels with few rows."""
    counts = Counter(record.label for record in material.labelled)
    if len(counts) == 1 and material.objective == "classify":
        message = f"there is one label only ({next(iter(counts))!r}): nothing to tell apart"
        fix = "check that the label column is the right one (--set columns.label=NAME)"
        yield Finding("one-label", material.blocking, message, 1, examples([material.labelled[0].source]), fix)
    once = [label for label, count in counts.items() if count == 1]
    if once:
        message = f"labels seen once only, which cannot be both learned and held out: {_named(once)}"
        fix = "add rows of these labels, merge them into others, or remove them"
        yield Finding("label-once", material.blocking, message, len(once), _places(material, once), fix)
    rare = [label for label, count in counts.items() if 1 < count < _RARE]
    if rare:
        message = f"labels with fewer than {_RARE} rows, too few to measure: {_named(rare)}"
        fix = "add rows of these labels, or merge them into others"
        yield Finding("rare-label", "warning", message, len(rare), _places(material, rare), fix)


def uneven_labels(material: Material) -> Iterator[Finding]:
    """The share that a model reaches by always naming the most frequent label."""
    counts = Counter(record.label for record in material.labelled).most_common()
    if len(counts) < 2:
        return
    (label, most), (_, least) = counts[0], counts[-1]
    share = most / len(material.labelled)
    if share >= _DOMINANT or most >= _UNEVEN * least:
        right = f"always answering {label!r} is right in {100 * share:.1f} % of the rows"
        message = f"{right}; the rarest label has {least:,} row{'s' * (least > 1)}"
        fix = "read macro-F1 beside accuracy"
        severity: Severity = "warning" if share >= _DOMINANT else "note"
        yield Finding("uneven-labels", severity, message, most, _places(material, [label]), fix)


def label_variants(material: Material) -> Iterator[Finding]:
    """Labels that differ in case, spaces or separators alone."""
    counts = Counter(record.label for record in material.labelled)
    variants: dict[str, list[str]] = defaultdict(list)
    for label in counts:
        variants[_SEPARATORS.sub("", unicodedata.normalize("NFKC", label).casefold()) or label].append(label)
    for labels in variants.values():
        if len(labels) < 2:
            continue
        labels.sort(key=lambda label: -counts[label])
        shown = ", ".join(f"{label!r} ({counts[label]:,})" for label in labels)
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


def _places(material: Material, labels: list[str]) -> tuple[dict[str, object], ...]:
    """The first row of each of `labels`."""
    first: dict[str, Labelled] = {}
    for record in material.labelled:
        first.setdefault(record.label, record)
    return examples(first[label].source for label in labels)


def _named(labels: list[str]) -> str:
    return ", ".join(map(repr, labels[:NAMED])) + (f" and {len(labels) - NAMED} more" if len(labels) > NAMED else "")
