"""Train, validation and held-out rows, split by content: rows with one `split_key` never stand on two sides.

Keys are ordered by a hash of (seed, key), so a split depends on what the rows say and not on their order.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from affinage.data.records import Labelled, Record
from affinage.errors import InputError

Groups = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers of each side, ascending. `rare_labels`: labels too rare to stand on every side that was asked for."""

    train: list[int]
    validation: list[int]
    held_out: list[int]
    rare_labels: tuple[str, ...] = ()


def split(records: Sequence[Record], *, held_out: float, validation: float, seed: int) -> Split:
    """Split `records`; labelled ones label by label, so that each label with enough rows stands on every side.

    Args:
        held_out, validation: a share below 1, or a number of rows. A share above 0 takes at least one row;
            validation does without where held-out rows and training leave none.

    Raises:
        InputError: nothing would be left to train on, or a number is negative or not whole.
    """
    strata = _strata(records, seed)
    keys = sum(map(len, strata.values()))
    out, kept = _counts(len(records), keys, held_out, validation)
    sides: dict[str, list[int]] = {"held_out": [], "validation": []}
    for side, wanted in (("held_out", out), ("validation", kept)):
        for label, count in _quotas(strata, wanted, seed).items():
            sides[side] += _take(strata[label], count)
    train = sorted(row for groups in strata.values() for rows in groups.values() for row in rows)
    taken = [side for side, wanted in (("held_out", out), ("validation", kept)) if wanted]
    if (out and not sides["held_out"]) or (validation >= 1 and not sides["validation"]):
        once = all(len(groups) == 1 for groups in strata.values()) and keys > 1
        why = "no label has rows to spare" if once else f"they say only {keys:,} different things"
        raise InputError(
            f"cannot hold rows out of {len(records):,} rows: {why}",
            fix="add rows, or set held_out and validation to 0",
        )
    return Split(
        train=train,
        validation=sorted(sides["validation"]),
        held_out=sorted(sides["held_out"]),
        rare_labels=_rare_labels(records, [sides[side] for side in taken]),
    )


def folds(records: Sequence[Record], k: int, seed: int) -> list[list[int]]:
    """`k` lists of row numbers, each row in exactly one, equal content in one, labels spread evenly.

    Raises:
        InputError: fewer than 2 folds, or fewer different contents than folds.
    """
    strata = _strata(records, seed)
    keys = sum(map(len, strata.values()))
    if not 2 <= k <= keys:
        raise InputError(
            f"cannot make {k} folds of {len(records):,} rows that say {keys:,} different things",
            fix=f"set folds between 2 and {keys}" if keys >= 2 else "add rows",
        )
    parts: list[list[int]] = [[] for _ in range(k)]
    for groups in strata.values():
        here = [0] * k
        for rows in groups.values():
            fold = min(range(k), key=lambda number: (here[number], len(parts[number]), number))
            parts[fold] += rows
            here[fold] += len(rows)
    return [sorted(part) for part in parts]


def _strata(records: Sequence[Record], seed: int) -> dict[str, Groups]:
    """Label -> key -> rows, labels and keys in their order by hash; one stratum where there are no labels."""
    by_key: Groups = defaultdict(list)
    for number, record in enumerate(records):
        by_key[record.split_key].append(number)
    strata: dict[str, Groups] = defaultdict(dict)
    for key in sorted(by_key, key=lambda key: (_hash(seed, key), key)):
        # A text that stands under two labels belongs to the first by name, whatever the order of the rows.
        labels = [record.label for row in by_key[key] if isinstance(record := records[row], Labelled)]
        strata[min(labels, default="")][key] = by_key[key]
    return dict(sorted(strata.items()))


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


def _quotas(strata: Mapping[str, Groups], wanted: int, seed: int) -> dict[str, int]:
    """Rows to take from each label: in proportion, at least one where `wanted` suffices for all, one key left over."""
    sizes = {label: sum(map(len, groups.values())) for label, groups in strata.items() if len(groups) > 1}
    room = {label: sizes[label] - min(map(len, strata[label].values())) for label in sizes}
    total = sum(sizes.values())
    if not wanted or not total:
        return {}
    exact = {label: wanted * size / total for label, size in sizes.items()}
    floor = 1 if wanted >= len(sizes) else 0
    quotas = {label: min(room[label], max(floor, int(share))) for label, share in exact.items()}
    order = sorted(sizes, key=lambda label: (quotas[label] - exact[label], _hash(seed, label)))
    while sum(quotas.values()) < wanted and any(quotas[label] < room[label] for label in order):
        for label in order:
            if sum(quotas.values()) < wanted and quotas[label] < room[label]:
                quotas[label] += 1
    while sum(quotas.values()) > wanted:
        quotas[
            max(reversed(order), key=lambda label: quotas[label] - exact[label] if quotas[label] > floor else -1)
        ] -= 1
    return quotas


def _take(groups: Groups, wanted: int) -> list[int]:
    """Remove whole keys from the front of `groups` until `wanted` rows are reached; one key always stays."""
    taken: list[int] = []
    for key in list(groups):
        if len(groups) > 1 and len(taken) + len(groups[key]) <= wanted:
            taken += groups.pop(key)
    if not taken and wanted and len(groups) > 1:
        taken += groups.pop(min(groups, key=lambda key: len(groups[key])))
    return taken


def _rare_labels(records: Sequence[Record], sides: Sequence[Sequence[int]]) -> tuple[str, ...]:
    if not sides:
        return ()
    labels = {record.label for record in records if isinstance(record, Labelled)}
    everywhere = labels.intersection(
        *({r.label for n in side if isinstance(r := records[n], Labelled)} for side in sides)
    )
    return tuple(sorted(labels - everywhere))


def _hash(seed: int, key: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
