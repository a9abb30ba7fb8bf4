"""What the checks look at: data as `tune` would see them, or as far as they could be read."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from affinage.data.ledger import Drop, Ledger
from affinage.data.records import Chat, Labelled, Preference, Record
from affinage.data.wording import contents, whole_text
from affinage.errors import InputError
from affinage.inspection.catalogue import Severity
from affinage.inspection.languages import Languages, languages_of
from affinage.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from affinage.data.batches import Row
    from affinage.data.rendering.renderer import Renderer

SAMPLED_CHARACTERS = 10_000_000  # of text that checks character by character look at


@dataclass
class Material:
    """Records, drops and rendered rows.

    Attributes:
        refusal: the error with which `tune` refuses this recipe, None where it would start.
        problems: errors that no check of its own tells about (a missing model, an unknown layout ...).
        rows_of: record id -> its rows; a record that gave none is missing.
        not_rendered: records that the chat template or the tokenizer refuses, with the reason.
        too_long: records longer than the context that were not rendered, with their lengths in tokens.
        sides: train, validation and held_out as numbers of records; empty where nothing is split yet.
        near_known: groups of numbers of records that say nearly the same, None where nobody has looked yet.
        redactions: kind -> placeholders put in.
        removed: reason -> what was taken out of documents.
        model_folder: where the model lies, None for one on the hub.
        model_context: tokens that the model takes at most, None where it is not known.
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
    sides: dict[str, list[int]] = field(default_factory=dict)
    near_known: list[list[int]] | None = None
    redactions: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    model_folder: Path | None = None
    model_context: int | None = None

    @property
    def kind(self) -> str | None:
        """The kind that all records are of."""
        return self.records[0].kind if self.records else None

    @cached_property
    def sample(self) -> list[Record]:
        """The records that checks of characters look at: all, or a seeded sample of large data, in order."""
        return [self.records[number] for number in self._sample_numbers]

    @cached_property
    def _sample_numbers(self) -> list[int]:
        return self.sample_of(range(len(self.records)))

    def sample_of(self, numbers: Sequence[int]) -> list[int]:
        """Those of the records' `numbers` that a check of characters looks at, ascending."""
        sizes = {number: sum(map(len, contents(self.records[number]))) for number in numbers}
        if sum(sizes.values()) <= SAMPLED_CHARACTERS:
            return sorted(numbers)
        taken: list[int] = []
        characters = 0
        for number in random.Random(0).sample(list(numbers), len(numbers)):
            characters += sizes[number]
            if characters > SAMPLED_CHARACTERS and taken:
                break
            taken.append(number)
        return sorted(taken)

    @property
    def sampled(self) -> str:
        """What a message adds where its check looked at a sample; empty where it looked at all rows."""
        if len(self.sample) == len(self.records):
            return ""
        return f" (in a sample of {len(self.sample):,} of {len(self.records):,} rows)"

    @cached_property
    def texts(self) -> list[str]:
        """All that each record of the sample says, as one text."""
        return ["\n".join(contents(record)) for record in self.sample]

    @cached_property
    def near(self) -> list[list[int]]:
        """Groups of numbers of records that say nearly the same: those known already, else looked for in the sample."""
        if self.near_known is not None:
            return self.near_known
        from affinage.data.duplicates.near_duplicates import clusters

        numbers = self._sample_numbers
        groups = clusters([whole_text(self.records[number]) for number in numbers])
        return [[numbers[place] for place in group] for group in groups]

    @cached_property
    def languages(self) -> Languages | None:
        """The languages of the records; None where there is too little text to tell."""
        return languages_of(self.records)

    @property
    def chats(self) -> list[Chat]:
        return [record for record in self.records if isinstance(record, Chat)]

    @property
    def labelled(self) -> list[Labelled]:
        return [record for record in self.records if isinstance(record, Labelled)]

    @property
    def preferences(self) -> list[Preference]:
        return [record for record in self.records if isinstance(record, Preference)]

    @property
    def rendered(self) -> Iterator[tuple[Record, list[Row]]]:
        """The records that gave rows, with them."""
        for record in self.records:
            rows = self.rows_of.get(record.id)
            if rows:
                yield record, rows

    @property
    def blocking(self) -> Severity:
        """Severity of what `tune` refuses: a warning after all, where it does not refuse (rows left out by consent)."""
        return "error" if self.refusal is not None else "warning"
