"""What the checks look at: data as `tune` would see them, or as far as they could be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from affinage.data.ledger import Drop, Ledger
from affinage.data.records import Chat, Labelled, Prompt, Record, Text
from affinage.errors import InputError
from affinage.inspection.findings import Severity
from affinage.recipe import Recipe

if TYPE_CHECKING:
    from affinage.data.batches import Row
    from affinage.data.rendering import Renderer


@dataclass
class Material:
    """Records, drops and rendered rows.

    Attributes:
        refusal: the error with which `tune` refuses this recipe, None where it would start.
        problems: errors that no check of its own tells about (a missing model, an unknown layout ...).
        rows_of: record id -> its rows; a record that gave none is missing.
        not_rendered: records that the chat template or the tokenizer refuses, with the reason.
        too_long: records longer than the context that were not rendered, with their lengths in tokens.
    """

    recipe: Recipe
    ledger: Ledger
    records: list[Record] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    layouts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    objective: str | None = None
    renderer: Renderer | None = None
    rows_of: dict[str, list[Row]] = field(default_factory=dict)
    too_long: list[tuple[Record, int]] = field(default_factory=list)
    not_rendered: list[tuple[Record, InputError]] = field(default_factory=list)
    refusal: InputError | None = None
    problems: list[InputError] = field(default_factory=list)

    @property
    def kind(self) -> str | None:
        """The kind that all records are of."""
        return self.records[0].kind if self.records else None

    @cached_property
    def texts(self) -> list[str]:
        """All that each record says, as one text."""
        return ["\n".join(contents(record)) for record in self.records]

    @property
    def chats(self) -> list[Chat]:
        return [record for record in self.records if isinstance(record, Chat)]

    @property
    def labelled(self) -> list[Labelled]:
        return [record for record in self.records if isinstance(record, Labelled)]

    @property
    def rendered(self) -> Iterator[tuple[Record, list[Row]]]:
        """The records that gave rows, with them."""
        return ((record, self.rows_of[record.id]) for record in self.records if record.id in self.rows_of)

    @property
    def blocking(self) -> Severity:
        """Severity of what `tune` refuses: a warning after all, where it does not refuse (rows left out by consent)."""
        return "error" if self.refusal is not None else "warning"


def contents(record: Record) -> tuple[str, ...]:
    """The texts of a record, without labels and roles."""
    if isinstance(record, Text | Labelled):
        return (record.text,)
    if isinstance(record, Chat | Prompt):
        answer = (record.reference,) if isinstance(record, Prompt) and record.reference else ()
        return (*(message.content for message in record.messages), *answer)
    return ()
