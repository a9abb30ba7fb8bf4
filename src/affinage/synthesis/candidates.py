"""What is made on the way to a row, and the ledger: generated = kept + dropped, stage by stage."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from affinage.data.records import Source
from affinage.errors import RunError
from affinage.synthesis.asking import Trail

# In the order in which they are passed.
STAGES = {
    "answer": "the model gave none, or the work was stopped",
    "format": "not of the form that was asked for",
    "quote": "the quotation does not stand in the passage",
    "heuristics": "length, words, first character, language, refusals",
    "duplicate": "the same text as another",
    "near-duplicate": "almost the same text as another",
    "decontamination": "overlaps with the data that it is to be kept clean of",
    "judge": "the judge's score is too low, or the judge finds no difference",
    "surplus": "more than was asked for",
}

EXAMPLES = 3  # of each stage, in the ledger


@dataclass(frozen=True, slots=True)
class Dropped:
    """A candidate that is not kept. `reason` is a word within its stage."""

    stage: str
    reason: str
    detail: str = ""


@dataclass(slots=True)
class Proposal:
    """A candidate whose instruction or question stands.

    Attributes:
        text: the instruction or question, which the filters look at.
        sources: where it comes from (a passage, seed tasks).
        trail: the calls that made it.
        values: what the method needs to complete it.
    """

    text: str
    sources: tuple[Source, ...]
    trail: Trail
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """A complete row, with its prompt and its answer as texts for the filters behind."""

    values: dict[str, Any]
    prompt: str
    answer: str


@dataclass(slots=True)
class SynthesisLedger:
    """What became of every candidate; of each stage's drops the first few stand as examples."""

    generated: int = 0
    kept: int = 0
    reasons: dict[str, Counter[str]] = field(default_factory=lambda: {stage: Counter() for stage in STAGES})
    examples: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def drop(self, dropped: Dropped, text: str = "") -> None:
        """Count one; `text` is what was dropped, as far as there is one."""
        self.reasons[dropped.stage][dropped.reason] += 1
        examples = self.examples.setdefault(dropped.stage, [])
        if len(examples) < EXAMPLES:
            shown = {"reason": dropped.reason, "detail": dropped.detail[:300], "text": text[:300]}
            examples.append({name: value for name, value in shown.items() if value})

    @property
    def dropped(self) -> dict[str, int]:
        """By stage, in order; stages that dropped nothing included."""
        return {stage: counts.total() for stage, counts in self.reasons.items()}

    def check(self) -> None:
        """Raises:
        RunError: candidates are missing, or counted twice.
        """
        accounted = self.kept + sum(self.dropped.values())
        if accounted != self.generated:
            raise RunError(
                f"the ledger does not add up: {self.generated} generated, {accounted} accounted for",
                fix="this is a fault in affinage; please report it with the ledger",
            )

    def to_json(self) -> dict[str, Any]:
        return {
            "generated": self.generated,
            "kept": self.kept,
            "dropped": self.dropped,
            "reasons": {stage: dict(sorted(counts.items())) for stage, counts in self.reasons.items() if counts},
            "examples": self.examples,
        }

    def lines(self) -> list[str]:
        """For people: the sum, then each stage that dropped something."""
        rows = [f"{self.generated:,} generated = {self.kept:,} kept + {sum(self.dropped.values()):,} dropped"]
        for stage, counts in self.reasons.items():
            if counts:
                words = ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common())
                rows.append(f"  {stage:<16}{counts.total():>6,}  {words}".rstrip())
        return rows
