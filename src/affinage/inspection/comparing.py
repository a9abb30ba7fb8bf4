"""Findings on comparisons, ratings and query-passage pairs: nothing to tell apart, and a bias for length."""

from __future__ import annotations

import math
from collections.abc import Iterator

from affinage.data.records import Pair, Preference, Rated, normalised
from affinage.inspection.catalogue import Severity
from affinage.inspection.findings import Finding, examples
from affinage.inspection.material import Material

_ENOUGH = 20  # comparisons of different length
_BIASED = 0.55  # where the lower end of the interval lies above this
_95 = 1.959964


def equal_completions(material: Material) -> Iterator[Finding]:
    """Comparisons whose best and worst completion say the same."""
    pairs = [record for record in material.preferences if not _tied(record)]
    found = [record for record in pairs if normalised(record.best.content) == normalised(record.worst.content)]
    found = [record for record in found if record.best.calls == record.worst.calls]
    if found:
        message = f"comparisons whose preferred and rejected answer are the same: {len(found):,} of {len(pairs):,}"
        fix = "check that the two columns are the right ones; take these rows out"
        severity: Severity = "error" if len(found) == len(pairs) else "warning"
        yield Finding("chosen-equals-rejected", severity, message, len(found), examples(r.source for r in found), fix)


def tied_completions(material: Material) -> Iterator[Finding]:
    """Comparisons in which all completions have one rank."""
    found = [record for record in material.preferences if _tied(record)]
    if found:
        message = f"comparisons without a better answer: {len(found):,} of {len(material.preferences):,}"
        yield Finding("tied-completions", "note", message, len(found), examples(record.source for record in found))


def length_bias(material: Material) -> Iterator[Finding]:
    """How often the preferred answer is the longer one: a sign test, told by its interval."""
    pairs = [
        (len(record.best.content), len(record.worst.content)) for record in material.preferences if not _tied(record)
    ]
    signs = [better > worse for better, worse in pairs if better != worse]
    if len(signs) < _ENOUGH:
        return
    low, high = wilson(sum(signs), len(signs))
    if low > _BIASED or high < 1 - _BIASED:
        share, which = sum(signs) / len(signs), "longer"
        if high < 0.5:
            share, which, low, high = 1 - share, "shorter", 1 - high, 1 - low
        message = (
            f"the preferred answer is the {which} one in {100 * share:.1f} % of {len(signs):,} comparisons"
            f" (95 % interval {100 * low:.1f} to {100 * high:.1f}): choosing by length alone is right as often"
        )
        fix = "balance the lengths, and hold any reward against this share"
        yield Finding("length-bias", "warning", message, round(share * len(signs)), (), fix)


def one_rating(material: Material) -> Iterator[Finding]:
    """Ratings that are all the same."""
    rated = [record for record in material.records if isinstance(record, Rated)]
    if len(rated) > 1 and len({record.score for record in rated}) == 1:
        message = f"all {len(rated):,} rows have the same rating ({rated[0].score})"
        fix = "check that the rating column is the right one"
        yield Finding("one-rating", "warning", message, len(rated), examples([rated[0].source]), fix)


def equal_passages(material: Material) -> Iterator[Finding]:
    """Passages that are their own query, or stand among their negatives."""
    pairs = [record for record in material.records if isinstance(record, Pair)]
    found = [pair for pair in pairs if normalised(pair.passage) in _others(pair)]
    if found:
        message = f"passages that are their own query or one of their negatives: {len(found):,} of {len(pairs):,}"
        fix = "check that the columns are the right ones; take these rows out"
        yield Finding("equal-passages", "warning", message, len(found), examples(r.source for r in found), fix)


def wilson(hits: int, total: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson's score interval)."""
    share, square = hits / total, _95 * _95
    middle = (share + square / (2 * total)) / (1 + square / total)
    half = _95 * math.sqrt(share * (1 - share) / total + square / (4 * total * total)) / (1 + square / total)
    return max(0.0, middle - half), min(1.0, middle + half)


def _tied(record: Preference) -> bool:
    return len(set(record.ranks)) == 1


def _others(pair: Pair) -> set[str]:
    return {normalised(text) for text in (pair.query, *pair.negatives)}
