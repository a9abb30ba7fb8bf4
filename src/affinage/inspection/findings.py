"""What was found in a person's data: how bad it is, where, and what to do about it."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from affinage.data.records import Source
from affinage.inspection.catalogue import CATALOGUE, SEVERITIES, Severity

NAMED = 5  # examples of one finding


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        code: a stable name for programs, one of the catalogue's.
        severity: `error` for what makes `tune` refuse, `warning` for what most likely spoils the result, `note` for
            what a person should know.
        message: what was found, in one sentence.
        count: rows (or labels, where the message speaks of labels) that it concerns.
        examples: `{"file", "line", "locator", ...}` of the first of them; `line` is None where the place is no line.
        fix: what to do, or an empty string.

    Raises:
        ValueError: the catalogue has no such code.
    """

    code: str
    severity: Severity
    message: str
    count: int = 0
    examples: tuple[dict[str, Any], ...] = ()
    fix: str = ""

    def __post_init__(self) -> None:
        if self.code not in CATALOGUE:
            raise ValueError(f"{self.code!r} is not in the catalogue of findings")

    def to_json(self) -> dict[str, Any]:
        """The finding as the contract of `findings.json` has it."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "count": self.count,
            "examples": list(self.examples),
            "fix": self.fix,
        }


@dataclass(slots=True)
class Findings:
    """Findings, the worst first."""

    items: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.items.sort(key=lambda finding: SEVERITIES.index(finding.severity))

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of one severity."""
        return [finding for finding in self.items if finding.severity == severity]

    def to_json(self) -> list[dict[str, Any]]:
        """The list that `--json` prints."""
        return [finding.to_json() for finding in self.items]

    def summary(self) -> str:
        """`1 error, 2 warnings, 1 note`, or that nothing was found."""
        counts = Counter(finding.severity for finding in self.items)
        parts = [f"{counts[name]} {name}{'s' * (counts[name] > 1)}" for name in SEVERITIES if counts[name]]
        return ", ".join(parts) or "nothing to remark"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{finding.severity}</th><td>{html.escape(finding.message)}</td>"
            f"<td>{html.escape(places(finding.examples))}</td><td>{html.escape(finding.fix)}</td></tr>"
            for finding in self.items
        )
        return f"<table>{rows}</table>" if rows else f"<p>{self.summary()}</p>"


def example(source: Source, **more: Any) -> dict[str, Any]:
    """Where `source` is, with whatever else tells about it."""
    first = source.locator.partition("#")[0]
    line = int(first) if first.isdecimal() else None
    return {"file": source.uri, "line": line, "locator": source.locator, **more}


def examples(sources: Iterable[Source]) -> tuple[dict[str, Any], ...]:
    """The first few places."""
    return tuple(example(source) for source, _ in zip(sources, range(NAMED), strict=False))


def places(found: Iterable[dict[str, Any]]) -> str:
    """`a.jsonl:3, 17, b.jsonl:2` of some examples."""
    by_file: dict[str, list[str]] = {}
    for where in found:
        by_file.setdefault(where["file"], []).append(where["locator"])
    return ", ".join(str(Source(file, ", ".join(filter(None, locators)))) for file, locators in by_file.items())
