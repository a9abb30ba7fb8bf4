"""Workbooks: a sheet is a heading, a row a line `Column: value; Column: value`."""

from __future__ import annotations

from pathlib import Path

from affinage.data.documents.archive import checked_archive
from affinage.data.documents.document import DocumentError, Draft
from affinage.data.documents.grids import Grid, as_lines, tidied
from affinage.data.documents.limits import Limits
from affinage.data.reading.workbooks import Bounds, WorkbookError, cells

_ASIDE = {"hidden": "hidden sheets", "no-cells": "sheets of charts or macros", "empty": "empty sheets"}
_LOST = {"errors": "error values", "formulas": "formulas without a stored value"}
_SIGNS = dict.fromkeys(map(ord, "+-.,%eE "))
_HEAD = 20  # rows among which the header is looked for


def read_sheets(path: Path, draft: Draft, limits: Limits) -> None:
    """A workbook (.xlsx, .xlsm, .xls, .ods): values as they were last computed; hidden sheets are counted."""
    if path.suffix.lower() != ".xls":
        with checked_archive(path, limits):
            pass
    bounds = Bounds(limits.memory, round(limits.seconds_for(path.stat().st_size)), limits.cells)
    name, rows = "", list[list[str]]()
    try:
        for kind, *line in cells(str(path), str(path), bounds, as_text=True):
            if kind == "row":
                rows.append(line[1])
            elif kind == "sheet":
                _add_sheet(draft, name, rows)
                name, rows = line[0], []
            elif kind == "aside":
                draft.removed[_ASIDE[line[1]]] += 1
            else:
                draft.removed.update({_LOST[what]: count for what, count in line[0].items()})
    except WorkbookError as error:
        raise DocumentError(error.message, fix=error.fix, reason=error.reason) from None
    _add_sheet(draft, name, rows)


def _add_sheet(draft: Draft, name: str, rows: list[list[str]]) -> None:
    grid = tidied(rows)
    if not grid:
        draft.removed["empty sheets"] += bool(rows)  # of white space alone
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
