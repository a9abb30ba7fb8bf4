"""What a synthesis works on: the data as they were read, redacted if so wished, and cut into passages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from affinage.errors import InputError
from affinage.synthesis.passages import SHORTEST, Passage, cut
from affinage.synthesis.seeds import Material, cleaned, read_material


@dataclass(slots=True)
class Given:
    """Seeds, or documents in passages.

    Attributes:
        short: pieces of text that are too short to ask about.
        redacted: placeholders that were put in, by kind.
    """

    material: Material
    passages: list[Passage] = field(default_factory=list)
    short: int = 0
    redacted: Counter[str] = field(default_factory=Counter)

    @property
    def words(self) -> str:
        """`12 documents in 34 passages (81,000 characters)`: all that could be sent."""
        seeds, texts = self.material.seeds, len(self.material.readings)
        if seeds:
            size = sum(len(turn.content) for seed in seeds for turn in seed.turns) + sum(len(s.output) for s in seeds)
            return f"{len(seeds):,} rows ({size:,} characters)"
        size = sum(len(passage.text) for passage in self.passages)
        return f"{texts:,} document{'s' * (texts != 1)} in {len(self.passages):,} passages ({size:,} characters)"

    def counts(self) -> dict[str, Any]:
        """For programs."""
        return {
            "rows": len(self.material.seeds),
            "documents": len(self.material.readings),
            "passages": len(self.passages),
        }


def read_given(data: Sequence[str], column: Sequence[str] | None, *, passage_size: int, redact: bool) -> Given:
    """The data of the command line.

    Args:
        column: `ROLE=NAME`, where the layout shall not be recognised.
        passage_size: most characters of a passage.

    Raises:
        InputError: they cannot be read, or hold nothing to work on.
    """
    from affinage.recipe import parse_overrides

    columns = parse_overrides(list(column)) if column else {}
    given = Given(read_material(data, {role: str(name) for role, name in columns.items()}))
    if redact:
        given.material, given.redacted = cleaned(given.material)
    if not given.material.seeds:
        given.passages, given.short = cut(given.material.readings, passage_size)
        if not given.passages:
            raise InputError(
                f"{data[0]}: no passage of {SHORTEST} characters or more to ask about", fix="name longer documents"
            )
    return given
