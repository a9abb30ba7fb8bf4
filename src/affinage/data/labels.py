"""From labels to what a head learns: class numbers, a matrix of yes and no, or numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from affinage.data.records import Label, Labelled, Source
from affinage.errors import InputError, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Task = Literal["single", "multi", "number"]
_SAYS: dict[Task, str] = {"single": "one label", "multi": "several labels", "number": "a number"}
_SEPARATORS = (";", "|", ",")  # that may stand between several labels in one cell
_FIX = "check that the label column is the right one (--set columns.label=NAME)"


def task_of(records: Iterable[Labelled]) -> Task:
    """What the rows' labels are: one name, several names, or a number.

    Raises:
        InputError: not all rows are of one sort, or there are none.
    """
    first: Labelled | None = None
    for record in records:
        first = first or record
        if _task(record.label) != _task(first.label):
            raise InputError(
                f"the labels are of two sorts: {first.source} has {_SAYS[_task(first.label)]}, "
                f"{record.source} has {_SAYS[_task(record.label)]}",
                fix="name files of one sort, or write all labels in the same way",
            )
    if first is None:
        raise InputError("no labelled rows", fix=_FIX)
    return _task(first.label)


def _task(label: Label) -> Task:
    return "single" if isinstance(label, str) else "multi" if isinstance(label, tuple) else "number"


def label_map(records: Iterable[Labelled]) -> list[str]:
    """The names of the labels of `records`, sorted; a name's place in the list is its number. Numbers have no names.

    Raises:
        InputError: labels that cannot be learned: fewer than two, a label with one distinct text only where each row has
            one label (it could not be both learned and checked), several labels of which all rows have the same, or
            numbers that are all the same.
    """
    found = list(records)
    task = task_of(found) if found else "single"
    if task == "number":
        if len({record.label for record in found}) < 2:
            raise InputError(f"all {len(found):,} rows have the same number, {found[0].label}", fix=_FIX)
        return []
    texts: dict[str, set[str]] = defaultdict(set)
    for record in found:
        for name in names_of(record.label):
            texts[name].add(record.split_key)
    counts = {label: len(texts[label]) for label in sorted(texts)}
    _check_single(counts) if task == "single" else _check_several(counts, found)
    return list(counts)


def names_of(label: Label) -> tuple[str, ...]:
    """The names in a label: one, several, or none for a number."""
    return (label,) if isinstance(label, str) else label if isinstance(label, tuple) else ()


def _check_single(counts: dict[str, int]) -> None:
    if len(counts) < 2:
        only = "".join(f": {label!r} ({count} texts)" for label, count in counts.items())
        raise InputError(f"a classifier needs at least 2 labels, the data have {len(counts)}{only}", fix=_FIX)
    once = [label for label, count in counts.items() if count == 1]
    if once:
        named = ", ".join(repr(label) for label in once[:10]) + (", ..." if len(once) > 10 else "")
        between = next((mark for mark in _SEPARATORS if sum(mark in label for label in once) > len(once) / 2), None)
        fix = "give each label at least 2 different texts, join it with another label, or leave its row out"
        if between:
            fix += f"; where a cell holds several labels: --set label_separator='{between}'"
        raise InputError(f"{len(once)} of {len(counts)} labels have one text only: {named}", fix=fix)


def _check_several(counts: dict[str, int], records: Sequence[Labelled]) -> None:
    if len({record.label for record in records}) < 2:
        named = ", ".join(map(repr, counts)) or "none"
        raise InputError(f"all {len(records):,} rows have the same labels ({named})", fix=_FIX)


def class_numbers(records: Iterable[Labelled], labels: Sequence[str]) -> list[int]:
    """The class number of each record.

    Raises:
        InputError: a record carries a label that `labels` does not hold, or not one name.
    """
    found = list(records)
    if found and task_of(found) != "single":
        raise InputError(f"{found[0].source}: each row must have one label", fix=_FIX)
    places = {label: number for number, label in enumerate(labels)}
    _refuse_unseen(found, places, labels)
    return [places[name] for record in found for name in names_of(record.label)]


def label_matrix(records: Iterable[Labelled], labels: Sequence[str]) -> NDArray[np.float32]:
    """Shape (R, C): 1 where record r carries label c, else 0.

    Raises:
        InputError: a record carries a label that `labels` does not hold, or a number.
    """
    import numpy as np

    found = list(records)
    if found and task_of(found) == "number":
        raise InputError(f"{found[0].source}: the labels must be names, not numbers", fix=_FIX)
    places = {label: number for number, label in enumerate(labels)}
    _refuse_unseen(found, places, labels)
    matrix = np.zeros((len(found), len(labels)), np.float32)
    for row, record in enumerate(found):
        matrix[row, [places[name] for name in names_of(record.label)]] = 1
    return matrix


def _refuse_unseen(records: Sequence[Labelled], places: dict[str, int], labels: Sequence[str]) -> None:
    unseen: dict[str, tuple[int, Source]] = {}
    rows = 0
    for record in records:
        missing = [name for name in names_of(record.label) if name not in places]
        rows += bool(missing)
        for name in missing:
            count, source = unseen.get(name, (0, record.source))
            unseen[name] = (count + 1, source)
    if unseen:
        label, (count, source) = next(iter(unseen.items()))
        raise InputError(
            f"{rows} rows carry labels that were never learned, such as {label!r} ({count} rows, first {source})."
            + nearest(label, labels),
            fix=f"the known labels are {', '.join(map(repr, labels[:10]))}{', ...' if len(labels) > 10 else ''}",
        )
