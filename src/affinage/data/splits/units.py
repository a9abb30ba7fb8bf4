"""Rows that must not be parted: equal content, one group, near-duplicates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from affinage.data.records import Record
from affinage.data.splits.unions import Unions

Units = dict[str, list[int]]
"""The smallest `split_key` of a unit -> its row numbers, ascending."""


def make_units(records: Sequence[Record], near: Iterable[Sequence[int]] = ()) -> Units:
    """Join rows into units: rows of one unit share a `split_key` or a group, or are near-duplicates, link by link.

    Args:
        near: row numbers that belong together for another reason, as `near_duplicates.clusters` gives them.
    """
    keys = [record.split_key for record in records]
    by_key: Units = defaultdict(list)
    for row, key in enumerate(keys):
        by_key[key].append(row)
    by_group: Units = defaultdict(list)
    for row, record in enumerate(records):
        if record.group:
            by_group[record.group].append(row)
    links = [*by_group.values(), *near]
    if not links:
        return by_key
    unions = Unions(len(records))
    for rows in (*by_key.values(), *links):
        for row in rows[1:]:
            unions.join(rows[0], row)
    by_root: dict[int, list[int]] = defaultdict(list)
    for row, root in enumerate(unions.roots().tolist()):
        by_root[root].append(row)
    return {min(keys[row] for row in rows): rows for rows in by_root.values()}
