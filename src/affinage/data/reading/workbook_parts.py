"""The raw parts of a packed workbook (.xlsx, .ods), looked over before the library that reads cells opens them.

That library takes a part at its word: it holds the whole rectangle that a sheet's cells span, and makes room for as many
strings and styles as a part says it has, so two far corners or one large number would take all memory. Cells that hold
an error and formulas whose value was never stored come out of it as empty cells, so they are counted here.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from typing import IO

_ERROR_CELL = rb"<(?:\w{1,20}:)?c\b[^<>]{0,300}?\bt=[\"']e[\"']"
_BARE_FORMULA = rb"(?:</(?:\w{1,20}:)?f>|<(?:\w{1,20}:)?f\b[^<>]{0,300}/>)\s{0,9}(?:<(?:\w{1,20}:)?v\s?/>|<v></v>|</)"
_LOST = re.compile(rb"(?P<error>" + _ERROR_CELL + rb")|(?P<formula>" + _BARE_FORMULA + rb")")
_PLACE = re.compile(rb"<(?:\w{1,20}:)?(?:c|row)\s(?:[^<>]{0,300}?\s)?r=[\"']([A-Za-z]{0,4})(\d{1,9})[\"']")
_COUNT = re.compile(rb"\s(?:uniqueCount|count)\s{0,9}=\s{0,9}[\"'](\d{1,18})")
_OVERLAP = 1024  # bytes; longer than what the patterns match
_CHUNK = 1 << 20
_FEW = 1000  # entries: no harm, whatever the part holds


class RefusedError(Exception):
    """A workbook that would take more than it may. `fix`: what a person can do."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.fix = fix


def look_over(file: IO[bytes], most_cells: int) -> Counter[str]:
    """Cells with an error (`errors`) and formulas without a stored value (`formulas`); none where it is no archive.

    Raises:
        RefusedError: a sheet spans more than `most_cells` cells, or a part promises more entries than it can hold.
    """
    lost: Counter[str] = Counter()
    if not zipfile.is_zipfile(file):
        return lost
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if member.filename.lower().endswith(".xml"):
                    with archive.open(member) as part:
                        _look_over_part(part, member, most_cells, lost)
    except RefusedError:
        raise
    except Exception:  # a damaged archive raises anything; the library that reads the cells says what is wrong with it
        return lost
    return lost


def _look_over_part(part: IO[bytes], member: zipfile.ZipInfo, most_cells: int, lost: Counter[str]) -> None:
    is_sheet = "worksheets/" in member.filename.lower()
    rows = columns = 0
    held = b""
    while chunk := part.read(_CHUNK):
        held += chunk
        _refuse_promises(held, member)
        end = 0
        if is_sheet:
            places = _PLACE.findall(held)
            rows = max(rows, max(map(int, {row for _, row in places}), default=0))
            columns = max(columns, max(map(_column, {letters for letters, _ in places}), default=0))
            for match in _LOST.finditer(held):
                lost["errors" if match["error"] else "formulas"] += 1
                end = match.end()
        held = held[max(end, len(held) - _OVERLAP) :]
    if rows * columns > most_cells:
        raise RefusedError(
            f"{member.filename} spans {rows:,} rows and {columns:,} columns, more than {most_cells:,} cells",
            "delete far-off cells, empty rows and columns, or split the sheet",
        )


def _refuse_promises(raw: bytes, member: zipfile.ZipInfo) -> None:
    declared = max(map(int, _COUNT.findall(raw)), default=0)
    if declared > max(member.file_size, _FEW):
        raise RefusedError(
            f"{member.filename} says that it has {declared:,} entries, and has not", "open it and save it again"
        )


def _column(letters: bytes) -> int:
    column = 0
    for letter in letters.upper():
        column = column * 26 + letter - ord("A") + 1
    return column
