"""In which languages the rows are."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from affinage.data.records import Record, Source
from affinage.data.wording import contents

_ROWS = 1_000  # whose language is looked at
_CHARACTERS = 1_000  # of each of them
_TOO_SHORT = 40  # characters, to tell a language by


@dataclass(frozen=True, slots=True)
class Languages:
    """Shares of the rows by language (ISO 639-1), the most frequent first, and the first row of each."""

    shares: dict[str, float]
    looked_at: int
    first: dict[str, Source] = field(default_factory=dict)


def languages_of(records: Sequence[Record]) -> Languages | None:
    """Languages of a seeded sample of `records` with enough text to tell; None where there is none."""
    from affinage.data.languages import language_of

    counts: Counter[str] = Counter()
    first: dict[str, Source] = {}
    for record in _sample(records):
        text = " ".join(contents(record))[:_CHARACTERS]
        named = language_of(text) if len(text.strip()) >= _TOO_SHORT else None
        if named is not None:
            counts[named[0]] += 1
            first.setdefault(named[0], record.source)
    total = counts.total()
    return Languages({name: count / total for name, count in counts.most_common()}, total, first) if total else None


def _sample(records: Sequence[Record]) -> list[Record]:
    """A seeded sample, in order."""
    if len(records) <= _ROWS:
        return list(records)
    return [records[number] for number in sorted(random.Random(0).sample(range(len(records)), _ROWS))]
