"""Workbooks: a sheet is a heading, a row a line `Column: value; Column: value`."""

from __future__ import annotations

import datetime
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from affinage.data.documents.archive import checked_archive
from affinage.data.documents.document import DocumentError, Draft
from affinage.data.documents.grids import Grid, as_lines, tidied
from affinage.data.documents.limits import Limits

_REFERENCE = re.compile(rb"<(?:\w+:)?(?:c|row)\s(?:[^<>]*?\s)?r=[\"'](?P<column>[A-Za-z]{0,4})(?P<row>\d{1,9})[\"']")
_COUNT = re.compile(rb"\s(?:uniqueCount|count)\s*=\s*[\"'](\d{1,18})")
_NOT_COMPUTED = re.compile(rb"(?:</f>|<f(?:\s[^<>]*)?/>)\s*(?:<v\s*/>|<v></v>)?\s*</c>")
_ERROR = re.compile(rb"<c\s[^<>]*\bt=[\"']e[\"']")
_SIGNS = dict.fromkeys(map(ord, "+-.,%eE "))
_HEAD = 20  # rows among which the header is looked for
_CHUNK = 2**20
_FEW = 1000  # entries: no harm, whatever the part holds


def read_sheets(path: Path, draft: Draft, limits: Limits) -> None:
    """A workbook (.xlsx, .xlsm, .xls, .ods): values as they were last computed; hidden sheets are counted."""
    from python_calamine import CalamineWorkbook, PasswordError, SheetTypeEnum, SheetVisibleEnum

    if path.suffix.lower() != ".xls":
        with checked_archive(path, limits) as archive:
            _look_over(archive, draft, path, limits)
    try:
        opened = CalamineWorkbook.from_path(str(path))
    except PasswordError:
        raise DocumentError(f"{path}: protected by a password", fix="save it without one", reason="encrypted") from None
    with opened as book:
        for sheet in book.sheets_metadata:
            if sheet.typ != SheetTypeEnum.WorkSheet:
                draft.removed["sheets of charts or macros"] += 1
            elif sheet.visible != SheetVisibleEnum.Visible:
                draft.removed["hidden sheets"] += 1
            else:
                rows = book.get_sheet_by_name(sheet.name).to_python()
                _add_sheet(draft, sheet.name, [[shown(cell) for cell in row] for row in rows])


def _add_sheet(draft: Draft, name: str, rows: list[list[str]]) -> None:
    grid = tidied(rows)
    if not grid:
        draft.removed["empty sheets"] += 1
        return
    draft.top()
    draft.heading(1, name)
    at = header_at(grid)
    above = grid if at is None else grid[:at]
    draft.add("table", "\n".join(" | ".join(filter(None, row)) for row in above))
    if at is not None:
        draft.add("table", as_lines(grid[at], grid[at + 1 :]))


def header_at(grid: Grid) -> int | None:
    """The first row that names most columns in words and has rows below it."""
    width = max(sum(map(bool, row)) for row in grid)
    for number, row in enumerate(grid[:_HEAD]):
        filled = [cell for cell in row if cell]
        if len(filled) >= max(2, 0.6 * width) and number + 1 < len(grid):
            return number if not any(_is_number(cell) for cell in filled) else None
    return None


def _is_number(cell: str) -> bool:
    return cell.translate(_SIGNS).isdecimal()


def shown(value: Any) -> str:
    """A cell as a person would write it: whole numbers without `.0`, dates in ISO order."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{int(value)}" if value.is_integer() and abs(value) < 1e15 else f"{value:.12g}"
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ", "seconds")
    return str(value)


def _look_over(archive: zipfile.ZipFile, draft: Draft, path: Path, limits: Limits) -> None:
    """What the parser would take at its word, and what it passes over without a sign.

    It holds the whole rectangle that a sheet's cells span, and makes room for as many strings and styles as a part
    says it has: two far corners or one large number would take all memory. Formulas whose value was never stored and
    error values come out of it as empty cells.
    """
    for member in archive.infolist():
        name = member.filename.lower()
        if not name.endswith(".xml"):
            continue
        rows = columns = 0
        for piece in _pieces(archive, member):
            declared = max((int(found[1]) for found in _COUNT.finditer(piece)), default=0)
            if declared > max(member.file_size, _FEW):
                raise DocumentError(
                    f"{path}: {member.filename} says that it has {declared:,} entries, and has not",
                    fix="open it and save it again",
                )
            if "worksheets/" not in name:
                continue
            for found in _REFERENCE.finditer(piece):
                rows, columns = max(rows, int(found["row"])), max(columns, _column(found["column"]))
            draft.removed["formulas without a stored value"] += len(_NOT_COMPUTED.findall(piece))
            draft.removed["error values"] += len(_ERROR.findall(piece))
        if rows * columns > limits.cells:
            raise DocumentError(
                f"{path}: {member.filename} spans {rows:,} rows and {columns:,} columns, more than {limits.cells:,} cells",
                fix="delete far-off cells, or split the sheet",
            )


def _column(letters: bytes) -> int:
    column = 0
    for letter in letters.upper():
        column = column * 26 + letter - ord("A") + 1
    return column


def _pieces(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """The part in pieces that end where a cell or at least an element ends."""
    with archive.open(member) as part:
        rest = b""
        while chunk := part.read(_CHUNK):
            whole = rest + chunk
            end = whole.rfind(b"</c>") + 4
            end = end if end > 3 else whole.rfind(b">") + 1
            yield whole[:end]
            rest = whole[end:][-_CHUNK:]
        yield rest
