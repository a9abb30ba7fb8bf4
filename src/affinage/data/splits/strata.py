"""Rows by label: one stratum for each label, or for each bin of labels that are numbers."""

from __future__ import annotations

import bisect
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from affinage.data.records import Labelled, Record
from affinage.data.splits.units import Units

_BINS = 10  # of labels that are numbers
_UNITS_A_BIN = 5


def has_mixed_units(records: Sequence[Record]) -> bool:
    """Whether a unit may have several labels that all count: several a row, or rows of a group."""
    first = next((record.label for record in records if isinstance(record, Labelled)), None)
    return isinstance(first, tuple) or (isinstance(first, str) and any(record.group for record in records))


def label_names(record: Record) -> tuple[str, ...]:
    """The labels of a row that are names."""
    if not isinstance(record, Labelled):
        return ()
    if isinstance(record.label, tuple):
        return record.label
    return (record.label,) if isinstance(record.label, str) else ()


def label_counts(records: Sequence[Record], rows: Sequence[int]) -> Counter[str]:
    """In how many of `rows` each label stands."""
    return Counter(name for row in rows for name in label_names(records[row]))


def rare_labels(records: Sequence[Record], sides: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """Labels that do not stand on each of `sides`."""
    if not sides:
        return ()
    labels = {name for record in records for name in label_names(record)}
    everywhere = labels.intersection(*({name for row in side for name in label_names(records[row])} for side in sides))
    return tuple(sorted(labels - everywhere))


def ordered(units: Units, seed: int) -> list[str]:
    """The keys of units in their order by hash."""
    return sorted(units, key=lambda key: (hash_of(seed, key), key))


def make_strata(records: Sequence[Record], units: Units, seed: int) -> dict[str, Units]:
    """Label -> key -> rows, labels and keys in their order by hash; one stratum where there are no labels."""
    order = ordered(units, seed)
    if not any(isinstance(record, Labelled) for record in records):
        return {"": {key: units[key] for key in order}}
    label_of = _stratum_of(records, len(units))
    strata: dict[str, Units] = defaultdict(dict)
    for key in order:
        strata[label_of(units[key])][key] = units[key]
    return dict(sorted(strata.items()))


def _stratum_of(records: Sequence[Record], units: int) -> Callable[[Sequence[int]], str]:
    """The stratum of a unit: its label, or the bin of its mean where labels are numbers."""
    numbers = sorted(
        float(record.label)
        for record in records
        if isinstance(record, Labelled) and not isinstance(record.label, str | tuple)
    )
    if not numbers:
        # A unit that stands under two labels belongs to the first by name, whatever the order of the rows.
        return lambda rows: min([name for row in rows for name in label_names(records[row])], default="")
    bins = min(_BINS, max(1, units // _UNITS_A_BIN))
    edges = sorted({numbers[len(numbers) * part // bins] for part in range(1, bins)})

    def bin_of(rows: Sequence[int]) -> str:
        values = [
            float(r.label)
            for row in rows
            if isinstance(r := records[row], Labelled) and not isinstance(r.label, str | tuple)
        ]
        return f"{bisect.bisect_right(edges, math.fsum(values) / len(values)):02}"

    return bin_of


def by_stratum(strata: Mapping[str, Units], out: int, kept: int, seed: int) -> tuple[list[int], list[int]]:
    """Held-out and validation rows, each label by its share."""
    sides: tuple[list[int], list[int]] = ([], [])
    for side, wanted in zip(sides, (out, kept), strict=True):
        for label, count in _quotas(strata, wanted, seed).items():
            side += _take(strata[label], count)
    return sides


def _quotas(strata: Mapping[str, Units], wanted: int, seed: int) -> dict[str, int]:
    """Rows to take from each label: in proportion, at least one where `wanted` suffices for all, one key left over."""
    sizes = {label: sum(map(len, groups.values())) for label, groups in strata.items() if len(groups) > 1}
    room = {label: sizes[label] - min(map(len, strata[label].values())) for label in sizes}
    total = sum(sizes.values())
    if not wanted or not total:
        return {}
    exact = {label: wanted * size / total for label, size in sizes.items()}
    floor = 1 if wanted >= len(sizes) else 0
    quotas = {label: min(room[label], max(floor, int(share))) for label, share in exact.items()}
    order = sorted(sizes, key=lambda label: (quotas[label] - exact[label], hash_of(seed, label)))
    while sum(quotas.values()) < wanted and any(quotas[label] < room[label] for label in order):
        for label in order:
            if sum(quotas.values()) < wanted and quotas[label] < room[label]:
                quotas[label] += 1
    while sum(quotas.values()) > wanted:
        quotas[
            max(reversed(order), key=lambda label: quotas[label] - exact[label] if quotas[label] > floor else -1)
        ] -= 1
    return quotas


def _take(groups: Units, wanted: int) -> list[int]:
    """Remove whole keys from the front of `groups` until `wanted` rows are reached; one key always stays."""
    taken: list[int] = []
    for key in list(groups):
        if len(taken) == wanted:
            break
        if len(groups) > 1 and len(taken) + len(groups[key]) <= wanted:
            taken += groups.pop(key)
    if not taken and wanted and len(groups) > 1:
        taken += groups.pop(min(groups, key=lambda key: len(groups[key])))
    return taken


def hash_of(seed: int, key: str) -> bytes:
    """Eight bytes that order keys at random, the same for a seed on every machine."""
    return hashlib.blake2b(f"{seed}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
