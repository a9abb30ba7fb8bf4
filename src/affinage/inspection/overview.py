"""The data at a glance: lengths as a histogram, languages with their shares, labels with their rows."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from affinage.data.records import Labelled, Source
from affinage.inspection.material import Material, contents

_BINS = 12
_LANGUAGE_ROWS = 1_000  # rows whose language is looked at
_LANGUAGE_CHARACTERS = 1_000  # of each of them
_TOO_SHORT = 40  # characters, to tell a language by
_LABELS = 20  # rows of the table


@dataclass(frozen=True, slots=True)
class Languages:
    """Shares of the rows by language (ISO 639-1), the most frequent first, and the first row of each."""

    shares: dict[str, float]
    looked_at: int
    first: dict[str, Source] = field(default_factory=dict)


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


def languages(material: Material) -> Languages | None:
    """Languages of a seeded sample of rows with enough text to tell; None where there is none."""
    found = _languages(tuple(_language_texts(material)))
    return found if found.looked_at else None


def _language_texts(material: Material) -> list[tuple[str, Source]]:
    numbers = range(len(material.records))
    if len(numbers) > _LANGUAGE_ROWS:
        numbers = sorted(random.Random(0).sample(numbers, _LANGUAGE_ROWS))  # type: ignore[assignment]
    records = [material.records[number] for number in numbers]
    texts = ((" ".join(contents(record))[:_LANGUAGE_CHARACTERS], record.source) for record in records)
    return [(text, source) for text, source in texts if len(text.strip()) >= _TOO_SHORT]


@lru_cache(maxsize=1)  # the check and the overview ask in turn
def _languages(texts: tuple[tuple[str, Source], ...]) -> Languages:
    from affinage.data.languages import language_of

    counts: Counter[str] = Counter()
    first: dict[str, Source] = {}
    for text, source in texts:
        named = language_of(text)
        if named is not None:
            counts[named[0]] += 1
            first.setdefault(named[0], source)
    total = counts.total()
    return Languages({name: count / total for name, count in counts.most_common()}, total, first)


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
