"""The data at a glance: lengths as a histogram, labels with their rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from affinage.data.records import Labelled
from affinage.inspection.material import Material

_BINS = 12
_LABELS = 20  # rows of the table


def histogram(lengths: Sequence[int], bins: int = _BINS) -> list[dict[str, int]]:
    """`[{"from", "to", "rows"}]` over whole numbers: at most `bins` classes of one width, a round number."""
    if not lengths:
        return []
    low, high = min(lengths), max(lengths)
    width = _round_up((high - low + 1) / bins)
    start = low // width * width
    counted = Counter((length - start) // width for length in lengths)
    last = (high - start) // width
    return [
        {"from": start + number * width, "to": start + (number + 1) * width - 1, "rows": counted[number]}
        for number in range(last + 1)
    ]


def _round_up(width: float) -> int:
    """The next of 1, 2, 5, 10, 20, 50 ..."""
    power = 10 ** max(0, math.floor(math.log10(max(1.0, width))))
    return int(next(step * power for step in (1, 2, 5, 10) if step * power >= width))


def label_count(material: Material) -> int:
    """Different labels; 0 of numbers."""
    labels = (record for record in material.labelled if not isinstance(record.label, int | float))
    return len({name for record in labels for name in _names(record)})


def label_table(material: Material) -> list[dict[str, Any]]:
    """`[{"label", "rows", "share"}]`, the most frequent first; of numbers their least, middle and largest value."""
    labelled = material.labelled
    numbers = sorted(float(record.label) for record in labelled if isinstance(record.label, int | float))
    if numbers:
        marks = {"least": numbers[0], "median": numbers[len(numbers) // 2], "largest": numbers[-1]}
        return [{"label": f"{name} {value:g}", "rows": len(numbers), "share": 1.0} for name, value in marks.items()]
    counts = Counter(name for record in labelled for name in _names(record))
    return [
        {"label": label, "rows": count, "share": count / len(labelled)} for label, count in counts.most_common(_LABELS)
    ]


def _names(record: Labelled) -> tuple[str, ...]:
    return record.label if isinstance(record.label, tuple) else (str(record.label),)
