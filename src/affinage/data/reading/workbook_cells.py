"""The program that reads one workbook in a process of its own and prints its cells as JSON lines.

    python workbook_cells.py FILE BYTES SECONDS

A workbook of a few kilobytes may ask for any amount of memory (one cell in the last row and column is enough), and the
library stops the whole process when it does not get it. So the process is this one, with limits.

Lines: `["sheet", name, header row, header]`, `["row", number, cells]`, `["aside", sheet, why]`,
`["lost", {"errors": n, "formulas": n, "first": cell or row}]`, and last `["end"]` or `["fault", message, fix]`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
import python_calamine as calamine

_ERRORS = frozenset(
    ("#REF!", "#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#VALUE!", "#SPILL!", "#CALC!", "#GETTING_DATA")
)
# The library gives an empty cell for an error and for a formula without a stored value, so they are looked for here.
_ERROR_CELL = rb"<(?:\w{1,20}:)?c\b[^<>]{0,300}?\bt=[\"']e[\"']"
_BARE_FORMULA = rb"(?:</(?:\w{1,20}:)?f>|<(?:\w{1,20}:)?f\b[^<>]{0,300}/>)\s{0,9}(?:<(?:\w{1,20}:)?v\s?/>|<v></v>|</)"
_LOST = re.compile(rb"(?P<error>" + _ERROR_CELL + rb")|(?P<formula>" + _BARE_FORMULA + rb")")
_OVERLAP = 1024  # bytes; longer than what the pattern matches
_EXACT = 2.0**53  # whole numbers up to here are exact in a cell


def main(path: str, memory: int, seconds: int) -> None:
    """Prints the cells of the workbook at `path`."""
    _limit(memory, seconds)
    try:
        with open(path, "rb") as file:
            lost = _lost(file)
            file.seek(0)
            for line in _workbook(calamine.CalamineWorkbook.from_filelike(io.BytesIO(file.read())), lost):
                _print(line)
        if lost:
            _print(["lost", lost])
        _print(["end"])
    except calamine.PasswordError:
        _print(["fault", "the workbook is locked with a password", "save it without one"])
    except (calamine.CalamineError, OSError, ValueError) as error:
        _print(["fault", f"not a readable workbook: {' '.join(str(error).split())[:300]}", "open it and save it again"])
    sys.stdout.buffer.flush()


def _limit(memory: int, seconds: int) -> None:
    """Bounds for this process, on systems that know them."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _print(line: list[Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def _workbook(book: Any, lost: Counter[str]) -> Iterator[list[Any]]:
    for facts in book.sheets_metadata:
        if facts.typ != calamine.SheetTypeEnum.WorkSheet:
            yield ["aside", facts.name, "no cells but a chart or a macro"]
        elif facts.visible != calamine.SheetVisibleEnum.Visible:
            yield ["aside", facts.name, "hidden"]
        else:
            yield from _sheet(book.get_sheet_by_name(facts.name), lost)


def _sheet(sheet: Any, lost: Counter[str]) -> Iterator[list[Any]]:
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
        yield ["aside", sheet.name, "no rows under its header"]


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


def _lost(file: Any) -> Counter[str]:
    """Cells of an .xlsx that hold an error, and formulas without a stored value."""
    found: Counter[str] = Counter()
    if not zipfile.is_zipfile(file):
        return found
    # A damaged archive raises anything here; the library that reads the cells will say what is wrong with it.
    with contextlib.suppress(Exception), zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if name.startswith("xl/worksheets/") and name.endswith(".xml"):
                with archive.open(name) as sheet:
                    _count_lost(sheet, found)
    return found


def _count_lost(sheet: Any, found: Counter[str]) -> None:
    held = b""
    while chunk := sheet.read(1 << 20):
        held += chunk
        end = 0
        for match in _LOST.finditer(held):
            found["errors" if match["error"] else "formulas"] += 1
            end = match.end()
        held = held[max(end, len(held) - _OVERLAP) :]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
