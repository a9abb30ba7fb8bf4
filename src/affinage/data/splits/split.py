"""Train, validation and held-out rows: rows that belong together never stand on two sides.

Rows with one `split_key` or one group, and near-duplicates that the caller names, are one unit. Units are ordered by a
hash of (seed, key), so a split depends on what the rows say and not on their order; or by time, where rows have one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from affinage.data.records import Labelled, Record
from affinage.data.splits.strata import (
    by_stratum,
    has_mixed_units,
    hash_of,
    label_counts,
    make_strata,
    ordered,
    rare_labels,
)
from affinage.data.splits.stratification import deal
from affinage.data.splits.units import Units, make_units
from affinage.errors import InputError

Side = Literal["train", "validation", "held_out"]


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers of each side, ascending. `rare_labels`: labels too rare to stand on every side that was asked for."""

    train: list[int]
    validation: list[int]
    held_out: list[int]
    rare_labels: tuple[str, ...] = ()


def split(
    records: Sequence[Record],
    *,
    held_out: float,
    validation: float,
    seed: int,
    near: Sequence[Sequence[int]] = (),
    by_time: bool = False,
) -> Split:
    """Split `records`; labelled ones so that each label with enough rows stands on every side.

    Several labels a row, and labels in groups, are spread by iterative stratification; numbers by ten quantile bins.

    Args:
        held_out, validation: a share below 1, or a number of rows. A share above 0 takes at least one row;
            validation does without where held-out rows and training leave none.
        near: row numbers that are kept together, as `near_duplicates.clusters` gives them.
        by_time: hold the latest rows out, and validate on those before them; equal times stand on one side. A unit is
            as late as its latest row, so no training row is as late as the boundary. Labels are not looked at.

    Raises:
        InputError: nothing would be left to train on, a number is negative or not whole, or a row has no time.
    """
    units = make_units(records, near)
    out, kept = _counts(len(records), len(units), held_out, validation)
    if by_time:
        sides = _by_time(records, units, out, kept, must_validate=validation >= 1)
    elif has_mixed_units(records):
        sides = _by_labels(records, units, out, kept, seed)
    else:
        sides = by_stratum(make_strata(records, units, seed), out, kept, seed)
    _check_sides(records, units, sides, out, validation)
    taken = {*sides[0], *sides[1]}
    return Split(
        train=[row for row in range(len(records)) if row not in taken],
        validation=sorted(sides[1]),
        held_out=sorted(sides[0]),
        rare_labels=rare_labels(records, [side for side, wanted in zip(sides, (out, kept), strict=True) if wanted]),
    )


def folds(records: Sequence[Record], k: int, seed: int, *, near: Sequence[Sequence[int]] = ()) -> list[list[int]]:
    """`k` lists of row numbers, each row in exactly one, what belongs together in one, labels spread evenly.

    Raises:
        InputError: fewer than 2 folds, or fewer units than folds.
    """
    units = make_units(records, near)
    if not 2 <= k <= len(units):
        raise InputError(
            f"cannot make {k} folds of {len(records):,} rows that {_say(records, units)}",
            fix=f"set folds between 2 and {len(units)}" if len(units) >= 2 else "add rows",
        )
    parts: list[list[int]] = [[] for _ in range(k)]
    if has_mixed_units(records):
        order = ordered(units, seed)
        sides = deal(
            [label_counts(records, units[key]) for key in order], [len(units[key]) for key in order], [math.inf] * k
        )
        for key, side in zip(order, sides, strict=True):
            parts[side] += units[key]
        return [sorted(part) for part in parts]
    for stratum in make_strata(records, units, seed).values():
        here = [0] * k
        for rows in stratum.values():
            fold = min(range(k), key=lambda number: (here[number], len(parts[number]), number))
            parts[fold] += rows
            here[fold] += len(rows)
    return [sorted(part) for part in parts]


def side_of(key: str, *, seed: int, held_out_share: float, validation_share: float) -> Side:
    """The side of a row by its key alone, for streams whose rows are never seen together.

    Args:
        key: what must not be parted: the row's group, or else its `split_key`.

    Raises:
        InputError: a share is negative, or both leave nothing to train on.
    """
    if held_out_share < 0 or validation_share < 0 or held_out_share + validation_share >= 1:
        raise InputError(
            f"held_out {held_out_share:g} and validation {validation_share:g}: shares of a stream are expected, below 1 "
            "together",
            fix="for example --set held_out=0.01 --set validation=0.01",
        )
    place = int.from_bytes(hash_of(seed, key), "big") / 2**64
    if place < held_out_share:
        return "held_out"
    return "validation" if place < held_out_share + validation_share else "train"


def _by_labels(records: Sequence[Record], units: Units, out: int, kept: int, seed: int) -> tuple[list[int], list[int]]:
    """Held-out and validation rows where a unit may have several labels."""
    order = ordered(units, seed)
    labels = [label_counts(records, units[key]) for key in order]
    enough = min(wanted for wanted in (out, kept, len(records)) if wanted) >= len(set().union(*labels))
    dealt = deal(labels, [len(units[key]) for key in order], [out, kept, math.inf], at_least_one=enough)
    sides: tuple[list[int], list[int], list[int]] = ([], [], [])
    for key, side in zip(order, dealt, strict=True):
        sides[side].extend(units[key])
    if not out or sides[0]:
        return sides[0], sides[1]
    # Every unit is larger than what was asked for: the smallest is held out, and another must stay to train on.
    smallest = units[min(order, key=lambda key: len(units[key]))]
    rest = {*sides[1], *sides[2]} - {*smallest}
    validation = [] if rest == {*sides[1]} - {*smallest} else [row for row in sides[1] if row in rest]
    return (list(smallest), validation) if rest else ([], [])


def _by_time(
    records: Sequence[Record], units: Units, out: int, kept: int, *, must_validate: bool
) -> tuple[list[int], list[int]]:
    """Held-out and validation rows, the latest first."""
    blocks: dict[float, list[int]] = defaultdict(list)
    for rows in units.values():
        blocks[max(_time(records[row]) for row in rows)] += rows
    latest = [blocks[time] for time in sorted(blocks, reverse=True)]
    if len(latest) < 2 and out + kept:
        raise InputError(
            f"cannot split {len(records):,} rows by time: as they belong together, all have one and the same",
            fix="map another column with --set columns.time=..., or leave it out to split by content",
        )
    held_out, rest = _latest(latest, out)
    validation, rest = _latest(rest, kept)
    if not rest or (kept and must_validate and not validation):
        raise InputError(
            f"cannot hold {out + kept:,} of {len(records):,} rows out by time: they have only {len(latest):,} times",
            fix="hold fewer rows out, or leave columns.time out to split by content",
        )
    return held_out, validation


def _latest(blocks: list[list[int]], wanted: int) -> tuple[list[int], list[list[int]]]:
    """The first blocks, as near to `wanted` rows as they come, and the blocks that stay: one at least."""
    sizes = [0]
    for block in blocks[:-1]:
        sizes.append(sizes[-1] + len(block))
        if sizes[-1] >= wanted:
            break
    counts = range(1 if wanted and len(sizes) > 1 else 0, len(sizes))
    count = min(counts, key=lambda count: (abs(sizes[count] - wanted), count))
    return [row for block in blocks[:count] for row in block], blocks[count:]


def _time(record: Record) -> float:
    if record.time is None or math.isnan(record.time):
        raise InputError(
            f"{record.source}: the row has no time, but others do",
            fix="give every row a time, or leave columns.time out to split by content",
        )
    return record.time


def _check_sides(
    records: Sequence[Record], units: Units, sides: tuple[list[int], list[int]], out: int, validation: float
) -> None:
    if (not out or sides[0]) and (validation < 1 or sides[1]):
        return
    once = isinstance(records[0], Labelled) and len(units) > 1
    raise InputError(
        f"cannot hold rows out of {len(records):,} rows: "
        + ("no label has rows to spare" if once else f"they {_say(records, units)}"),
        fix="add rows, or set held_out and validation to 0",
    )


def _say(records: Sequence[Record], units: Units) -> str:
    if any(record.group for record in records):
        return f"form only {len(units):,} groups"
    return f"say only {len(units):,} different things"


def _counts(rows: int, keys: int, held_out: float, validation: float) -> tuple[int, int]:
    out, kept = _wanted(held_out, rows, "held_out"), _wanted(validation, rows, "validation")
    if kept and validation < 1 and out + kept >= keys:
        kept = max(0, keys - 1 - out)
    if out + kept >= rows and out + kept > 0:
        raise InputError(
            f"held_out {held_out:g} and validation {validation:g} leave none of the {rows:,} rows to train on",
            fix="hold fewer rows out, or add rows",
        )
    return out, kept


def _wanted(value: float, rows: int, name: str) -> int:
    if value < 0 or (value >= 1 and value != int(value)):
        raise InputError(f"{name} = {value:g}: a share below 1 or a whole number of rows is expected")
    return int(value) if value >= 1 or value == 0 else max(1, round(value * rows))
