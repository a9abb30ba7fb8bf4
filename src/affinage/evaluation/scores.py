"""What all scores of a head have in common, whatever it answers: a headline, a paired difference, details."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from affinage.evaluation.intervals import Interval, Paired


class HeadScores(ABC):
    """Answers to rows beside what is true of them. The row is the sampling unit of every interval and test."""

    metric: ClassVar[str]  # the figure that runs are judged by
    higher_is_better: ClassVar[bool]

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def headline(self) -> Interval:
        """The value of `metric`."""

    @abstractmethod
    def change_from(self, before: Self) -> Paired:
        """The headline minus that of other answers to the same rows, tested row by row."""

    @abstractmethod
    def metrics(self) -> dict[str, Interval]:
        """Every figure by name, the headline first, each with its 95 % interval over rows."""

    @abstractmethod
    def details(self) -> dict[str, Any]:
        """A table under its name: `confusion`, `labels` or `points`."""

    @abstractmethod
    def said(self) -> list[str]:
        """Each row's answer in words."""

    @abstractmethod
    def chosen(self, numbers: Sequence[int]) -> Self:
        """The scores of some rows."""

    @classmethod
    @abstractmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Scores of several folds as one.

        Raises:
            ValueError: there is no part, or they do not belong together.
        """

    def to_json(self) -> dict[str, Any]:
        """All figures as JSON values."""
        return {
            "rows": len(self),
            **{name: value.to_json() for name, value in self.metrics().items()},
            **self.details(),
        }
