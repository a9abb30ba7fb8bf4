"""A program of its own: reads a workbook and prints its cells as JSON lines.

    python workbook_cells.py FILE BYTES SECONDS CELLS rows|text

A workbook of a few kilobytes may ask for any amount of memory (one cell in the last row and column is enough), and the
library stops the whole process when it does not get it. So the process is this one, with limits.

Lines: `["sheet", name, header row, header]` (as text: `["sheet", name]`), `["row", number, cells]`,
`["aside", sheet, "hidden" | "no-cells" | "empty" | "no-rows"]`, `["lost", {"errors": n, "formulas": n}]`, and last
`["end"]` or `["fault", reason, message, fix]`.
"""

from __future__ import annotations

import datetime as dt
import io
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
import python_calamine as calamine

from affinage.data.reading.bounds import hold_memory, hold_time
from affinage.data.reading.workbook_parts import RefusedError, look_over

_ERRORS = frozenset(
    ("#REF!", "#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#VALUE!", "#SPILL!", "#CALC!", "#GETTING_DATA")
)
_EXACT = 2.0**53  # whole numbers up to here are exact in a cell


def main(path: str, memory: int, seconds: int, cells: int, form: str) -> None:
    """Prints the cells of the workbook at `path`."""
    hold_memory(memory)
    hold_time(seconds)
    try:
        with open(path, "rb") as file:
            lost = look_over(file, cells)
        for line in _workbook(_opened(path), lost, as_text=form == "text"):
            _print(line)
        if lost:
            _print(["lost", lost])
        _print(["end"])
    except RefusedError as error:
        _print(["fault", "unreadable", str(error), error.fix])
    except calamine.PasswordError:
        _print(["fault", "encrypted", "the workbook is locked with a password", "save it without one"])
    except (calamine.CalamineError, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        _print(["fault", "unreadable", f"not a readable workbook: {said}", "open it and save it again"])
    sys.stdout.buffer.flush()


def _opened(path: str) -> Any:
    """Told by content, since names lie; where that finds nothing, by name, which gives the reason."""
    try:
        with open(path, "rb") as file:
            return calamine.CalamineWorkbook.from_filelike(io.BytesIO(file.read()))
    except calamine.PasswordError:
        raise
    except calamine.CalamineError:
        return calamine.CalamineWorkbook.from_path(path)


def _print(line: list[Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def _workbook(book: Any, lost: Counter[str], *, as_text: bool) -> Iterator[list[Any]]:
    for facts in book.sheets_metadata:
        if facts.typ != calamine.SheetTypeEnum.WorkSheet:
            yield ["aside", facts.name, "no-cells"]
        elif facts.visible != calamine.SheetVisibleEnum.Visible:
            yield ["aside", facts.name, "hidden"]
        else:
            sheet = book.get_sheet_by_name(facts.name)
            yield from _text(sheet, lost) if as_text else _table(sheet, lost)


def _text(sheet: Any, lost: Counter[str]) -> Iterator[list[Any]]:
    """All rows that say something, each cell as a person would write it."""
    count = 0
    for number, row in enumerate(sheet.iter_rows(), start=1):
        if any(value != "" for value in row):
            if not count:
                yield ["sheet", sheet.name]
            yield ["row", number, [_written(value, lost) for value in row]]
            count += 1
    if not count:
        yield ["aside", sheet.name, "empty"]


def _table(sheet: Any, lost: Counter[str]) -> Iterator[list[Any]]:
    """The header and the rows, in the columns that say something; rows without a value are blank lines."""
    header: list[Any] = []
    first = 0
    used: set[int] = set()
    texts: set[int] = set()  # columns that hold a text somewhere: all their values are given as text
    for number, row in enumerate(sheet.iter_rows(), start=1):
        said = {place for place, value in enumerate(row) if value != ""}
        if said and not first:
            first, header = number, row
        elif said:
            texts.update(place for place in said if isinstance(row[place], str) and row[place] not in _ERRORS)
        used |= said
    if not first:
        yield ["aside", sheet.name, "empty"]
        return
    columns = sorted(used)
    yield ["sheet", sheet.name, first, [_as_text(_value(header[place], lost)) for place in columns]]
    count = 0
    for number, row in enumerate(sheet.iter_rows(), start=1):
        if number > first and any(value != "" for value in row):
            cells = ((place, _value(row[place], lost)) for place in columns)
            yield ["row", number, [_as_text(value) if place in texts else value for place, value in cells]]
            count += 1
    if not count:
        yield ["aside", sheet.name, "no-rows"]


def _value(cell: Any, lost: Counter[str]) -> Any:
    """A JSON value: whole numbers without a fraction, times as ISO text, null for empty cells and for errors."""
    if isinstance(cell, str):
        if cell in _ERRORS:
            lost["errors"] += 1
            return None
        return cell or None
    if isinstance(cell, float):
        return int(cell) if cell.is_integer() and abs(cell) <= _EXACT else cell
    if isinstance(cell, dt.datetime | dt.date | dt.time):
        return cell.isoformat()
    return str(cell) if isinstance(cell, dt.timedelta) else cell


def _as_text(value: Any) -> Any:
    """As the sheet shows it."""
    if value is None or isinstance(value, str):
        return value
    return str(value).upper() if isinstance(value, bool) else str(value)


def _written(cell: Any, lost: Counter[str]) -> str:
    """As in a sentence: numbers in twelve digits at most, a moment without its `T`, a day without its midnight."""
    if isinstance(cell, dt.datetime):
        return cell.date().isoformat() if cell.time() == dt.time() else cell.isoformat(" ", "seconds")
    value = _value(cell, lost)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.12g}"
    return "" if value is None else str(value)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
