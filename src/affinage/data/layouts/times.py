"""Points in time out of the ways in which data write them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from email.utils import parsedate_to_datetime
from typing import Any

from affinage.data.layouts.bad_row import BadRowError, kind_of

_SPELLINGS = (
    "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%Y-%m", "%Y/%m", "%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y", "%B %Y",
    "%b %Y", "%d-%b-%Y", "%d/%b/%Y",
)  # fmt: skip
_CLOCKS = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S")
_SLASHED = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2}))?)?")
_LONGEST = 64
_YEARS = range(1000, 3000)
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))  # beyond these, nano-, micro- and milliseconds


def seconds(value: Any, column: str) -> float | None:
    """Seconds since 1970 (UTC where no zone is given); nothing where the cell is empty.

    Numbers from 1000 to 2999 are years; others count seconds, or milli-, micro- or nanoseconds where they are too large
    for that.

    Raises:
        BadRowError: `wrong-type`, the value is no point in time, or day and month could be either way round.
    """
    if value is None or value != value or (isinstance(value, str) and not value.strip()):
        return None
    found = _text(value.strip(), column) if isinstance(value, str) else _value(value)
    if found is None:
        shown = repr(value[:40]) if isinstance(value, str) else kind_of(value)
        raise BadRowError(
            "wrong-type", f"`{column}` must be a time such as 2024-05-31 or 2024-05-31T10:00, found {shown}"
        )
    return found


def _value(value: Any) -> float | None:
    if isinstance(value, datetime):
        return _stamp(value)
    if isinstance(value, date):
        return _stamp(datetime.combine(value, time()))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value in _YEARS:
        return _stamp(datetime(int(value), 1, 1))
    size = abs(value)
    unit = next((unit for bound, unit in _UNITS if size >= bound), 1.0)
    return float(value / unit) if size < 1e20 else None


def _text(text: str, column: str) -> float | None:
    if len(text) > _LONGEST:
        return None
    if re.fullmatch(r"-?\d+(\.\d+)?", text, re.ASCII) and len(text) != len("20240531"):
        return _value(float(text) if "." in text else int(text))
    try:
        return _stamp(datetime.fromisoformat(text.removesuffix(" UTC")))
    except ValueError:
        pass
    if slashed := _SLASHED.fullmatch(text):
        return _slashed(slashed, text, column)
    for spelling in _SPELLINGS:
        for clock in _CLOCKS:
            try:
                return _stamp(datetime.strptime(text, spelling + clock))
            except ValueError:
                continue
    try:
        return _stamp(parsedate_to_datetime(text))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _slashed(found: re.Match[str], text: str, column: str) -> float | None:
    """Day and month by slashes or hyphens, where one of them can only be the day."""
    first, second, year = int(found[1]), int(found[2]), int(found[3])
    if first <= 12 and second <= 12 and first != second:
        detail = f"`{column}` holds {text!r}: day or month first? write times as 2024-05-31"
        raise BadRowError("wrong-type", detail)
    day, month = (first, second) if first > 12 else (second, first)
    try:
        return _stamp(datetime(year, month, day, int(found[4] or 0), int(found[5] or 0), int(found[6] or 0)))
    except ValueError:
        return None


def _stamp(moment: datetime) -> float | None:
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return None
