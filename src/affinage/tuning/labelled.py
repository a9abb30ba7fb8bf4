"""The labelled records of a run, by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from affinage.data.records import Labelled
from affinage.data.targets import target_array
from affinage.evaluation.measures import Sides
from affinage.tuning.prepared import Prepared


class LabelledRows:
    """Texts and targets of `prepared.records`."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared

    def at(self, number: int) -> Labelled:
        """One record."""
        record = self._prepared.records[number]
        assert isinstance(record, Labelled)
        return record

    def targets(self, numbers: Sequence[int]) -> NDArray[Any]:
        """See `target_array`."""
        return target_array([self.at(number) for number in numbers], self._prepared.labels, self._prepared.task)

    def sides(self, train: Sequence[int], test: Sequence[int]) -> Sides:
        """What a baseline learns from, and what it is scored on."""
        return Sides(
            self._texts(train), self.targets(train), self._texts(test), self.targets(test),
            self._prepared.labels, self._prepared.recipe.seed,
        )  # fmt: skip

    def _texts(self, numbers: Sequence[int]) -> list[str]:
        return [self.at(number).text for number in numbers]
