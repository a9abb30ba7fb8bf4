"""A run that is ready to start: records, rendered rows, sides, plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from affinage.data.batches import Row
from affinage.data.ledger import Drop, Ledger
from affinage.data.records import Record, digest
from affinage.data.rendering.renderer import Renderer
from affinage.data.streams.stream import RowStream
from affinage.data.streams.streamed_batches import StreamedBatches
from affinage.device import Machine
from affinage.models.loading import Base
from affinage.planning.plan import Plan
from affinage.recipe import Recipe
from affinage.wiring import OBJECTIVE_TABLE

SIDES = ("train", "validation", "held_out")


@dataclass(slots=True)
class Prepared:
    """A run that is ready to start.

    Attributes:
        rows_of: record id -> its rendered rows.
        near: groups of record numbers that say nearly the same; None where they were not looked for.
        sides: record numbers of train, validation and held_out.
        removed: what was taken out of documents, counted by kind; `redactions`: placeholders by type.
        stream: the training rows, where they are read while training (then `records` on the train side are a sample);
            `streamed` are its batches, once training has begun.
    """

    recipe: Recipe
    objective: str
    train: str
    base: Base
    machine: Machine
    renderer: Renderer
    records: list[Record]
    read: int
    drops: list[Drop]
    layouts: dict[str, str]
    notes: list[str]
    labels: list[str]
    rows_of: dict[str, list[Row]]
    sides: dict[str, list[int]]
    plan: Plan
    near: list[list[int]] | None = None
    folds: list[list[int]] = field(default_factory=list)
    task: str = ""
    removed: dict[str, int] = field(default_factory=dict)
    redactions: dict[str, int] = field(default_factory=dict)
    stream: RowStream | None = None
    streamed: StreamedBatches | None = None

    @property
    def language(self) -> bool:
        """Scored by next-token likelihood (else by its own head)."""
        return OBJECTIVE_TABLE[self.objective].language

    def records_on(self, side: str) -> list[Record]:
        """The records of train, validation or held_out."""
        return [self.records[number] for number in self.sides[side]]

    def rows_on(self, side: str) -> list[Row]:
        """The rendered rows of train, validation or held_out."""
        return self.rows_at(self.sides[side])

    def rows_at(self, numbers: Sequence[int]) -> list[Row]:
        """The rendered rows of some records."""
        return [row for number in numbers for row in self.rows_of[self.records[number].id]]

    def ledger(self, reached: set[str]) -> Ledger:
        """What became of every row; `reached` holds the ids of records that a batch has carried."""
        if self.streamed is not None:
            ledger = self.streamed.ledger(
                validation=len(self.sides["validation"]), held_out=len(self.sides["held_out"])
            )
            ledger.check()
            return ledger
        train = self.records_on("train")
        trained = [record for record in train if record.id in reached]
        rows = self.rows_on("train")
        counts = Counter(drop.reason for drop in self.drops)
        ledger = Ledger(
            read=self.read,
            trained=len(trained),
            not_reached=len(train) - len(trained),
            validation=len(self.sides["validation"]),
            held_out=len(self.sides["held_out"]),
            dropped=dict(counts),
            truncated_tokens=sum(row.truncated for rows in self.rows_of.values() for row in rows),
            tokens=sum(len(row) for row in rows),
            learned_tokens=sum(row.learned for row in rows),
        )
        ledger.check()
        return ledger

    @property
    def data_digest(self) -> str:
        """Changes when the data change: a resumed run must meet the same rows."""
        return digest([record.id for record in self.records])


def rows_by_id(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Record id -> its rows, in their order."""
    rows_of: dict[str, list[Row]] = {}
    for row in rows:
        rows_of.setdefault(row.record_id, []).append(row)
    return rows_of
