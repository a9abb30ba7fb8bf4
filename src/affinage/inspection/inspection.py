"""All that an inspection found, in one piece: for the terminal, the page and programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from affinage.inspection.distance import Distance
from affinage.inspection.findings import Findings
from affinage.inspection.languages import Languages
from affinage.inspection.material import Material
from affinage.inspection.tokens import TokenStatistics
from affinage.inspection.vocabulary import Coverage


@dataclass(frozen=True, slots=True)
class Inspection:
    """The material and what was seen in it; what could not be measured is None."""

    material: Material
    findings: Findings
    tokens: TokenStatistics | None
    languages: Languages | None
    labels: list[dict[str, Any]]
    label_count: int
    distance: Distance | None
    coverage: Coverage | None
    rows: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """What `affinage inspect --json` prints."""
        material = self.material
        return {
            "kind": material.kind,
            "objective": material.objective,
            "model": material.recipe.model,
            "layouts": material.layouts,
            "notes": material.notes,
            "ledger": material.ledger.to_json(),
            "findings": self.findings.to_json(),
            "tokens": self.tokens.to_json() if self.tokens else None,
            "languages": self.languages.shares if self.languages else {},
            "labels": self.labels,
            "label_count": self.label_count,
            "distance": self.distance.to_json() if self.distance else None,
            "coverage": self.coverage.to_json() if self.coverage else None,
            "rows": self.rows,
        }
