"""Labels out of cells: one name, several names, or a number; which of them is decided once for a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from affinage.data.layouts import columns as col
from affinage.data.layouts.bad_row import BadRowError, kind_of
from affinage.data.layouts.columns import Values
from affinage.data.records import Label

LabelKind = Literal["single", "multi", "number"]
SAYS: dict[LabelKind, str] = {"single": "label", "multi": "labels", "number": "number"}

_YES = frozenset({"1", "1.0", "true", "yes", "x"})
_NO = frozenset({"0", "0.0", "false", "no", ""})


def label_kind(values: Sequence[Any], column: str, separator: str | None) -> LabelKind:
    """What the labels of a file are, from those of its first rows (missing ones left out).

    Mostly lists, or text that is to be split: several names. Mostly numbers (text that is written so counts too) of which
    any has a fraction, or that are floats in a column whose name says so (`score`, `rating` ...): numbers. Else one name.
    """
    if 2 * sum(isinstance(value, list) for value in values) > len(values):
        return "multi"
    if separator is not None and any(isinstance(value, str) for value in values):
        return "multi"
    told = [value for value in values if not (isinstance(value, str) and not value.strip())]
    numbers = [number for value in told if (number := col.as_number(value)) is not None]
    if 2 * len(numbers) > len(told):
        fractions = not all(number.is_integer() for number in numbers)
        floats = any(isinstance(value, float) for value in told)
        named = column in (*col.NUMBERS, *col.RATHER_NUMBERS)
        if fractions or (named and floats):
            return "number"
    return "single"


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """The label of a row, out of one column."""

    column: str
    kind: LabelKind = "single"
    separator: str | None = None

    def __call__(self, values: Values) -> Label:
        """Raises:
        BadRowError: no label (`empty-label`), or one of another kind than the file's (`wrong-type`).
        """
        value = col.get(values, self.column)
        if col.is_missing(value) or (isinstance(value, str) and not value.strip()):
            raise BadRowError("empty-label", f"`{self.column}` is empty")
        if self.kind == "number":
            number = col.as_number(value)
            if number is None:
                raise BadRowError("wrong-type", f"`{self.column}` must be a number, found {kind_of(value)}")
            return number
        if self.kind == "multi":
            return self._names(value)
        return self._name(value)

    def _name(self, value: Any) -> str:
        if isinstance(value, list):
            if len(value) > 1:
                raise BadRowError("wrong-type", f"`{self.column}` holds {len(value)} labels; the other rows hold one")
            value = value[0] if value else None
        name = label_name(value, self.column)
        if not name:
            raise BadRowError("empty-label", f"`{self.column}` is empty")
        return name

    def _names(self, value: Any) -> tuple[str, ...]:
        parts = value.split(self.separator) if isinstance(value, str) and self.separator else value
        names = (label_name(part, self.column) for part in (parts if isinstance(parts, list) else [parts]))
        return tuple(sorted({name for name in names if name}))


@dataclass(frozen=True, slots=True)
class LabelFlags:
    """The labels of a row, out of one column for each, holding 1 or 0. `columns`: (column, label's name)."""

    columns: tuple[tuple[str, str], ...]

    def __call__(self, values: Values) -> Label:
        """Raises:
        BadRowError: a column is missing, or holds something else than yes or no.
        """
        return tuple(sorted({name for column, name in self.columns if _flag(col.get(values, column), column)}))


def label_name(value: Any, column: str) -> str:
    """One label as text: integers as they are written, true/false; empty where there is none.

    Raises:
        BadRowError: something else.
    """
    if isinstance(value, str):
        return value.strip()
    if col.is_missing(value):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if not isinstance(value, int | float):
        raise BadRowError("wrong-type", f"`{column}` must hold labels, found {kind_of(value)}")
    return str(value)


def is_flag(value: Any) -> bool:
    """Whether a cell says yes or no."""
    return isinstance(value, str | int | float) and str(value).strip().lower() in _YES | _NO


def _flag(value: Any, column: str) -> bool:
    if col.is_missing(value):
        return False
    if not is_flag(value):
        raise BadRowError("wrong-type", f"`{column}` must hold 1 or 0, found {kind_of(value)}")
    return str(value).strip().lower() in _YES
