"""The seam between objectives and the loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from affinage.data.batches import Batch
from affinage.data.records import Record
from affinage.models.adapted import AdaptedModel


@dataclass(slots=True)
class Term:
    """One part of a loss: a *sum*. Its denominator is counted over the whole optimizer step before any backward."""

    name: str
    total: Tensor
    coefficient: float = 1.0


@dataclass(slots=True)
class Loss:
    """What a batch costs, and what is worth logging about it (sums, divided by the same denominators)."""

    terms: tuple[Term, ...]
    metrics: dict[str, Tensor] = field(default_factory=dict)


class Objective(Protocol):
    """What is asked of the data. `eats`: kinds of record; `heads`: heads of our own that it needs on the model."""

    eats: tuple[type[Record], ...]
    heads: tuple[str, ...]
    needs_reference: bool

    def weigh(self, batch: Batch) -> dict[str, float]:
        """What each term of this batch will be summed over."""
        ...

    def __call__(self, model: AdaptedModel, batch: Batch) -> Loss: ...
