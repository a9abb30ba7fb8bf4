"""Rows out of spreadsheets (.xlsx, .xlsm, .xls, .ods): each sheet a table under its own header."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from affinage.data.reading.opening import MIB, check_zip, unpacked
from affinage.data.reading.sources import RawRow
from affinage.data.reading.tables import names_of
from affinage.data.records import Source
from affinage.errors import InputError

_PROGRAM = Path(__file__).with_name("workbook_cells.py")
# About 30 bytes a cell of the smallest rectangle that holds a sheet.
_CELLS = 100_000_000
_MEMORY = 4096 * MIB
_LARGEST = 1024 * MIB  # of the file itself
_SECONDS, _SECONDS_PER_MIB = 60, 15
_ASIDE = {
    "hidden": "hidden",
    "no-cells": "no cells but a chart or a macro",
    "empty": "empty",
    "no-rows": "no rows under its header",
}


class WorkbookError(InputError):
    """A workbook that cannot be read. `reason`: `encrypted` or `unreadable`."""

    def __init__(self, message: str, *, fix: str, reason: str = "unreadable") -> None:
        super().__init__(message, fix=fix)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Bounds:
    """What reading one workbook may cost: bytes, seconds of computing, and cells of a sheet's rectangle."""

    memory: int
    seconds: int
    cells: int


def read_workbook(uri: str, notes: list[str]) -> Iterator[RawRow]:
    """Rows of all visible sheets; a row's locator is `Sheet!12`, as the sheet numbers it.

    The first row with a value is the header; empty rows and columns before and between are passed over. Formulas give
    their stored value. Cells that hold an error (`#REF!`), and formulas without a stored value, are read as empty and
    counted in `notes` (in an old .xls the file's reader cannot tell them from empty cells). A column that holds text
    anywhere gives its numbers as text too.

    Args:
        notes: takes what no row says: sheets that are empty, hidden or no tables, and cells read as empty.

    Raises:
        InputError: not a workbook, a damaged, locked or implausibly packed one, or a header with a name twice.
    """
    with unpacked(uri) as path:
        size = os.path.getsize(path)
        if size > _LARGEST:
            raise InputError(f"{uri}: a workbook of {size // MIB:,} MiB", fix="save the sheets as CSV")
        check_zip(path, uri)
        names: list[str] = []
        sheet = ""
        bounds = Bounds(_MEMORY, _SECONDS + _SECONDS_PER_MIB * (size // MIB), _CELLS)
        for kind, *line in cells(path, uri, bounds):
            if kind == "row":
                yield RawRow(dict(zip(names, line[1], strict=True)), Source(uri, f"{sheet}!{line[0]}"))
            elif kind == "sheet":
                sheet, first, header = line
                names = names_of([name or "" for name in header], Source(uri, f"{sheet}!{first}"))
            elif kind == "aside":
                notes.append(f"{uri}: sheet {line[0]!r} left aside: {_ASIDE[line[1]]}")
            else:
                notes.append(f"{uri}: read as empty: {_lost(line[0])}")


def _lost(counts: dict[str, int]) -> str:
    words = {"errors": "cells that hold an error", "formulas": "formulas without a stored value"}
    return ", ".join(f"{count:,} {words[name]}" for name, count in sorted(counts.items()))


def cells(path: str, uri: str, bounds: Bounds, *, as_text: bool = False) -> Iterator[list[Any]]:
    """What `workbook_cells` says of a workbook, until its last line.

    Args:
        path: where the bytes lie.
        uri: the name in messages.
        as_text: all rows, each cell as a person would write it, instead of typed ones under a header.

    Raises:
        WorkbookError: not a workbook, a locked or damaged one, or one that costs more than the bounds.
    """
    limits = [str(number) for number in (bounds.memory, bounds.seconds, bounds.cells)]
    command = [sys.executable, "-P", str(_PROGRAM), path, *limits, "text" if as_text else "rows"]
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
    )
    assert child.stdout is not None
    try:
        for raw in child.stdout:
            line = orjson.loads(raw)
            if line[0] == "end":
                return
            if line[0] == "fault":
                raise WorkbookError(f"{uri}: {line[2]}", fix=line[3], reason=line[1])
            yield line
        code = child.wait()
    finally:
        child.kill()
        child.stdout.close()
        child.wait()
    raise WorkbookError(
        f"{uri}: a damaged workbook, or one that needs more than {bounds.memory // MIB:,} MiB of memory or "
        f"{bounds.seconds} s to read (code {code})",
        fix="open it, delete the empty rows and columns at its ends, and save it again, or save the sheets as CSV",
    )


def _environment() -> dict[str, str]:
    """As here, with the same packages to be found."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
