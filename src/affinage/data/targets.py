"""What a head is asked to answer about each row: a class number, a 0 or 1 for each label, or a number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affinage.data.labels import class_numbers, label_matrix
from affinage.data.records import Label, Labelled
from affinage.errors import InputError

SINGLE, MULTI, NUMBER = "single", "multi", "number"
REASONS = {SINGLE: "one label a row", MULTI: "several labels a row", NUMBER: "the labels are numbers"}

Target = float | NDArray[np.float32]


def as_task(records: Iterable[Labelled], task: str) -> list[Labelled]:
    """The records with their labels in the form of `task`: a name, several names, or a number.

    Raises:
        InputError: a label cannot be read so.
    """
    return [_recast(record, task) for record in records]


def target_array(records: Sequence[Labelled], labels: Sequence[str], task: str) -> NDArray[Any]:
    """What is to be answered: class numbers (R,), ones and zeros (R, C) in float32, or numbers (R,) in float64.

    Raises:
        InputError: a record carries a label that `labels` does not hold.
    """
    if task == SINGLE:
        return np.array(class_numbers(records, labels), np.int64)
    if task == MULTI:
        return label_matrix(records, labels)
    return np.array([record.label for record in records], np.float64)


def targets_of(records: Iterable[Labelled], labels: Sequence[str], task: str) -> dict[Label, Target]:
    """The target of each label that occurs, as rendering attaches it to rows."""
    found = list({record.label: record for record in records}.values())
    made = target_array(found, labels, task)
    values = made if task == MULTI else made.tolist()
    return {record.label: row if task == MULTI else float(row) for record, row in zip(found, values, strict=True)}


def label_text(label: Label) -> str:
    """A label in words: `spam`; `a, b`; `3.5`."""
    if isinstance(label, tuple):
        return ", ".join(label) or "none"
    return label if isinstance(label, str) else f"{label:.10g}"


def as_names(label: Label) -> tuple[str, ...]:
    """The names in a label: one, several or none; a number as it is written."""
    return label if isinstance(label, tuple) else (label_text(label),)


def as_number(label: Label) -> float | None:
    """A label as a finite number, or None."""
    try:
        value = float(label if isinstance(label, float) else label_text(label))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _recast(record: Labelled, task: str) -> Labelled:
    label = record.label
    if task == SINGLE and not isinstance(label, str):
        if isinstance(label, tuple) and len(label) != 1:
            raise InputError(
                f"{record.source}: {len(label)} labels ({label_text(label)}) where one is expected",
                fix="--set head.task=multi takes several labels a row",
            )
        return replace(record, label=label_text(label))
    if task == MULTI and not isinstance(label, tuple):
        return replace(record, label=as_names(label))
    if task == NUMBER:
        value = as_number(label)
        if value is None:
            raise InputError(
                f"{record.source}: the label {label_text(label)!r} is no number",
                fix="--set head.task=single takes labels as names",
            )
        return replace(record, label=value)
    return record
