"""Disjoint sets of row numbers that grow together (union-find)."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt


class Unions:
    """`count` rows, each alone at first. A set is known by its smallest row."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def find(self, row: int) -> int:
        """The smallest row of the set that `row` is in."""
        parent = self._parent
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    def join(self, one: int, other: int) -> None:
        """Make one set of the two that hold these rows."""
        first, second = self.find(one), self.find(other)
        if first != second:
            self._parent[max(first, second)] = min(first, second)

    def roots(self) -> npt.NDArray[np.int64]:
        """The smallest row of each row's set."""
        roots = np.array(self._parent, dtype=np.int64)
        while len(roots) and (roots != roots[roots]).any():
            roots = roots[roots]
        return roots

    def groups(self) -> list[list[int]]:
        """The sets of two rows or more, rows ascending, sets by their first row."""
        found: dict[int, list[int]] = defaultdict(list)
        for row, root in enumerate(self.roots().tolist()):
            found[root].append(row)
        return [rows for rows in found.values() if len(rows) > 1]
