"""The filters of a synthesis that are chosen on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from affinage.errors import InputError
from affinage.synthesis.filters import Contamination, Index
from affinage.synthesis.method import Method


@dataclass(frozen=True, slots=True)
class Filters:
    """What rows must pass beside the rules of their method.

    Attributes:
        near: how near duplicates are found: rouge, minhash or off.
        similarity: from which texts are near.
        benchmarks: files that rows must not overlap with.
        threshold: the least that the judge may give, of 10.
    """

    near: str = "rouge"
    similarity: float = 0.7
    benchmarks: Sequence[Path] = ()
    threshold: int | None = None

    def index(self, method: Method) -> Index | None:
        """Where near duplicates are looked for; None where they stay.

        Raises:
            InputError: no such way to find them.
        """
        if self.near not in _NEAR:
            raise InputError(f"--near-duplicates {self.near}", fix=f"one of {', '.join([*_NEAR])}")
        if self.near == "off" or not method.heuristics:
            return None
        if self.near == "minhash":
            from affinage.data.duplicates.near_duplicates import NearIndex

            return NearIndex(self.similarity)
        from affinage.synthesis.rouge import RougeIndex

        return RougeIndex(self.similarity)

    def contamination(self) -> Contamination | None:
        """Tells which benchmark a row overlaps with.

        Raises:
            InputError: a benchmark cannot be read.
        """
        if not self.benchmarks:
            return None
        from affinage.synthesis.contamination import Benchmarks

        return Benchmarks(self.benchmarks)

    def words(self, method: Method) -> str:
        """All that a row passes, in order."""
        names = ["format", *(["quote"] if method.name == "qa" else [])]
        names += ["heuristics"] if method.heuristics else []
        near = _NEAR[self.near] if method.heuristics else ""
        names += ["duplicates", *([f"near duplicates ({near} above {self.similarity:g})"] if near else [])]
        names += [f"overlap with {', '.join(map(str, self.benchmarks))}"] if self.benchmarks else []
        names += [f"judge (at least {self.threshold} of 10)"] if self.threshold else []
        return ", ".join(names)


_NEAR = {"rouge": "ROUGE-L", "minhash": "Jaccard", "off": ""}
