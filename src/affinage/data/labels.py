"""From label names to class numbers and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from affinage.data.records import Labelled, Source
from affinage.errors import InputError, nearest


def label_map(records: Iterable[Labelled]) -> list[str]:
    """The labels of `records`, sorted; a label's place in the list is its class number.

    Raises:
        InputError: fewer than two labels, or a label with one distinct text only (it could not be both learned and
            checked).
    """
    texts: dict[str, set[str]] = defaultdict(set)
    for record in records:
        texts[record.label].add(record.split_key)
    counts = {label: len(texts[label]) for label in sorted(texts)}
    if len(counts) < 2:
        only = "".join(f": {label!r} ({count} texts)" for label, count in counts.items())
        raise InputError(
            f"a classifier needs at least 2 labels, the data have {len(counts)}{only}",
            fix="check that the label column is the right one (--set columns.label=NAME)",
        )
    once = [label for label, count in counts.items() if count == 1]
    if once:
        named = ", ".join(repr(label) for label in once[:10]) + (", ..." if len(once) > 10 else "")
        raise InputError(
            f"{len(once)} of {len(counts)} labels have one text only: {named}",
            fix="give each label at least 2 different texts, join it with another label, or leave its row out",
        )
    return list(counts)


def class_numbers(records: Iterable[Labelled], labels: Sequence[str]) -> list[int]:
    """The class number of each record.

    Raises:
        InputError: a record carries a label that `labels` does not hold.
    """
    places = {label: number for number, label in enumerate(labels)}
    numbers: list[int] = []
    unseen: dict[str, tuple[int, Source]] = {}
    for record in records:
        if (number := places.get(record.label)) is None:
            count, source = unseen.get(record.label, (0, record.source))
            unseen[record.label] = (count + 1, source)
        else:
            numbers.append(number)
    if unseen:
        label, (count, source) = next(iter(unseen.items()))
        rows = sum(count for count, _ in unseen.values())
        raise InputError(
            f"{rows} rows carry labels that were never learned, such as {label!r} ({count} rows, first {source})."
            + nearest(label, labels),
            fix=f"the known labels are {', '.join(map(repr, labels[:10]))}{', ...' if len(labels) > 10 else ''}",
        )
    return numbers
