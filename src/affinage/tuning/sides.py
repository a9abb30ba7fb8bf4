"""Which rows are trained on, which choose the weights, and which are held out for the reported figure."""

from __future__ import annotations

from collections.abc import Sequence

from affinage.data.duplicates.near_duplicates import clusters, drop_near
from affinage.data.ledger import Drop
from affinage.data.records import Record
from affinage.data.splits.split import folds as make_folds
from affinage.data.splits.split import split as make_split
from affinage.data.splits.units import make_units
from affinage.data.wording import whole_text
from affinage.errors import InputError
from affinage.recipe import Recipe

FEW_ROWS = 100  # fewer are cross-validated
HELD_OUT_CEILING = 1000
FORM_ROWS, FORM_SHARE = 4, 0.05


def rows_to_hold_out(rows: int) -> int:
    """A fifth of few rows, a twentieth of many, at most a thousand."""
    return max(1, round(min(0.2 * rows, max(100.0, 0.05 * rows), HELD_OUT_CEILING)))


def rows_to_validate(rows: int) -> int:
    """Half as many."""
    return max(1, round(min(0.2 * rows, max(100.0, 0.05 * rows), HELD_OUT_CEILING) / 2))


def near_groups(records: list[Record], recipe: Recipe) -> tuple[list[Record], list[list[int]] | None, list[Drop]]:
    """The records to keep, groups of them that say nearly the same (None: not looked for), and those dropped for it."""
    if recipe.near_duplicates == "keep":
        return records, None, []
    groups = clusters([whole_text(record) for record in records])
    if recipe.near_duplicates == "join":
        return records, groups, []
    kept, drops = drop_near(records, groups)
    return kept, [], drops


def copies(groups: Sequence[Sequence[int]], rows: int) -> list[Sequence[int]]:
    """The groups that are kept together; one with a larger part of the `rows` is a form that is filled in."""
    most = max(FORM_ROWS, round(FORM_SHARE * rows))
    return [group for group in groups if len(group) <= most]


def _folded(
    records: Sequence[Record], wanted: int, recipe: Recipe, near: Sequence[Sequence[int]]
) -> tuple[dict[str, list[int]], list[list[int]]]:
    """The folds; the first is held out, and of the others some rows are for validation."""
    parts = make_folds(records, wanted, recipe.seed, near=near)
    rest = sorted({*range(len(records))} - {*parts[0]})
    place = {row: number for number, row in enumerate(rest)}
    inner = make_split(
        [records[row] for row in rest],
        held_out=0,
        validation=0.1 if recipe.validation is None else recipe.validation,
        seed=recipe.seed,
        near=[[place[row] for row in group if row in place] for group in near],
    )
    validation, train = ([rest[number] for number in side] for side in (inner.validation, inner.train))
    return {"held_out": parts[0], "validation": validation, "train": train}, parts


def make_sides(
    records: Sequence[Record], recipe: Recipe, near: Sequence[Sequence[int]]
) -> tuple[dict[str, list[int]], list[list[int]]]:
    """Record numbers of each side, and the folds (none: one split).

    Raises:
        InputError: too few rows to hold any out.
    """
    count = len(records)
    wanted = recipe.folds if recipe.folds is not None else (5 if count < FEW_ROWS and recipe.held_out is None else 1)
    by_time = any(record.time is not None for record in records)
    if wanted > 1 and not by_time and len(make_units(records, near)) >= 2 * wanted:
        return _folded(records, wanted, recipe, near)
    held_out = recipe.held_out if recipe.held_out is not None else float(rows_to_hold_out(count))
    validation_rows = recipe.validation if recipe.validation is not None else float(rows_to_validate(count))
    if count < 4 and recipe.held_out is None:
        raise InputError(
            f"{count} row{' is' if count == 1 else 's are'} too few to hold any out",
            fix="add rows, or --set held_out=0 --set validation=0 to go without proof",
        )
    found = make_split(
        records, held_out=held_out, validation=validation_rows, seed=recipe.seed, near=near, by_time=by_time
    )
    return {"train": found.train, "validation": found.validation, "held_out": found.held_out}, []
