"""Sides with the same mix of labels, where a unit has several: iterative stratification, rarest label first.

After Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data" (2011). Here units of several rows
are dealt out whole, and a side may have a size that is not exceeded.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence


def deal(
    units: Sequence[Mapping[str, int]], rows: Sequence[int], room: Sequence[float], *, at_least_one: bool = False
) -> list[int]:
    """The side of each unit.

    Args:
        units: of each unit, its labels and in how many rows they stand; units earlier in the list are dealt out first.
        rows: of each unit, how many there are.
        room: of each side, the rows that are wanted; infinite takes the rest, and one side must. Finite ones are not
            exceeded.
        at_least_one: ask one row of each label for the finite sides, where its share would be less.
    """
    totals: Counter[str] = Counter()
    holders: dict[str, list[int]] = defaultdict(list)
    for number, labels in enumerate(units):
        for label, count in labels.items():
            totals[label] += count
            holders[label].append(number)
    dealer = _Dealer(sum(rows), totals, room, at_least_one)
    sides = [-1] * len(units)
    waiting = {label: len(numbers) for label, numbers in holders.items()}
    heap = [(left, label) for label, left in waiting.items()]
    heapq.heapify(heap)
    while heap:
        left, rarest = heapq.heappop(heap)
        if left != waiting[rarest]:
            continue  # it has become rarer since, and stands in the heap again
        touched: set[str] = set()
        for number in holders[rarest]:
            if sides[number] < 0:
                sides[number] = dealer.take(rarest, units[number], rows[number])
                touched.update(units[number])
                for label in units[number]:
                    waiting[label] -= 1
        for label in touched:
            if waiting[label]:
                heapq.heappush(heap, (waiting[label], label))
    for number, side in enumerate(sides):
        if side < 0:  # no label at all
            sides[number] = dealer.take("", {}, rows[number])
    return sides


class _Dealer:
    """What every side still wants: of each label, and of rows."""

    def __init__(self, total: int, totals: Mapping[str, int], room: Sequence[float], at_least_one: bool) -> None:
        finite = sum(wanted for wanted in room if math.isfinite(wanted))
        rest = (total - finite) / max(1, sum(map(math.isinf, room)))
        self.room = list(room)
        self.wanted = [rest if math.isinf(wanted) else wanted for wanted in room]
        shares = [wanted / max(1, total) for wanted in self.wanted]
        self.labels = [
            {
                label: max(count * share, 1.0 if at_least_one and 0 < wanted < math.inf and count >= len(room) else 0.0)
                for label, count in totals.items()
            }
            for share, wanted in zip(shares, room, strict=True)
        ]

    def take(self, label: str, labels: Mapping[str, int], rows: int) -> int:
        """The side that wants `label` most and has room; among equals the one that is emptiest."""
        fitting = [side for side, room in enumerate(self.room) if rows <= room]
        side = max(fitting, key=lambda side: (round(self.labels[side].get(label, 0.0), 9), self.wanted[side], -side))
        self.room[side] -= rows
        self.wanted[side] -= rows
        for other, count in labels.items():
            self.labels[side][other] -= count
        return side
