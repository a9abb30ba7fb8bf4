"""Rows from random places of large files, each text on one side."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from affinage.data.ledger import Drop
from affinage.data.reading.blocks import read_line
from affinage.data.records import Record
from affinage.data.redaction import redacted
from affinage.data.streams.stream import StreamSource
from affinage.recipe import Recipe
from affinage.tuning.sides import HELD_OUT_CEILING, rows_to_hold_out, rows_to_validate

_TRAIN = 2000  # training rows that are looked at first
_VALIDATION = HELD_OUT_CEILING // 2


@dataclass(frozen=True, slots=True)
class Sampled:
    """Records from random places, by side; `rows` is about how many the files hold, `redactions` placeholders by type."""

    sides: dict[str, list[Record]]
    drops: list[Drop]
    rows: int
    redactions: dict[str, int] = field(default_factory=dict)


def sample(sources: Sequence[StreamSource], recipe: Recipe) -> Sampled:
    """Rows from random places, each text on one side only."""
    sizes = [Path(source.path).stat().st_size for source in sources]
    rng = random.Random(f"sample-{recipe.seed}")
    drops: list[Drop] = []
    lines = read = 0
    records: dict[str, Record] = {}
    wanted = HELD_OUT_CEILING + _VALIDATION + _TRAIN
    for _ in range(2 * wanted):
        (number,) = rng.choices(range(len(sources)), sizes)
        row, size = read_line(sources[number].path, rng.randrange(sizes[number]))
        lines, read = lines + 1, read + size
        for item in [row] if isinstance(row, Drop) else sources[number].layout.to_records(row):
            if isinstance(item, Drop):
                drops.append(item)
            else:
                records.setdefault(item.id, item)
        if len(records) >= wanted:
            break
    rows = max(len(records), round(sum(sizes) * lines / max(1, read)))
    redactions: Counter[str] = Counter()
    if recipe.redact:
        records = _redacted(records, redactions)
    return Sampled(_sides(list(records.values()), rows, recipe), drops, rows, dict(redactions))


def _redacted(records: dict[str, Record], counts: Counter[str]) -> dict[str, Record]:
    changed: dict[str, Record] = {}
    for record in records.values():
        new, found = redacted(record)
        counts.update(found)
        changed.setdefault(new.id, new)
    return changed


def _sides(records: list[Record], rows: int, recipe: Recipe) -> dict[str, list[Record]]:
    """Whole keys to each side; a small file gives a smaller part of itself."""
    room = {
        "held_out": min(_count(recipe.held_out, rows_to_hold_out(rows), rows), HELD_OUT_CEILING),
        "validation": min(_count(recipe.validation, rows_to_validate(rows), rows), _VALIDATION),
    }
    sides: dict[str, list[Record]] = {"held_out": [], "validation": [], "train": []}
    by_key: dict[str, str] = {}
    for record in records:
        side = by_key.get(record.split_key)
        if side is None:
            side = next((name for name, limit in room.items() if len(sides[name]) < limit), "train")
            by_key[record.split_key] = side
        sides[side].append(record)
    return sides


def _count(asked: float | None, derived: int, rows: int) -> int:
    if asked is None:
        return derived
    return round(asked if asked >= 1 else asked * rows)
