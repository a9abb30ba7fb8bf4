"""Do the inspections of inspections.yaml and keep what docs/results.md tells of them: `inspections.py [NAME...]`.

What is kept are counts, figures and verdicts: no text of a row, and no place in a file.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from commands import HERE, chosen, in_data, parser
from run import call

KEPT = HERE / "inspections"
REFUSED = 2  # exit code where `tune` would refuse; the findings are told all the same
_TOLD = ("kind", "objective", "ledger", "languages", "label_count")
_DISTANCE = (
    "verdict", "ratio", "bits_per_byte", "own_bits_per_byte", "general_bits_per_byte", "general_own_bits_per_byte",
    "classifier_error", "tokens_per_word", "general_tokens_per_word", "unknown_share", "vocabulary_overlap",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Inspected:
    """One inspection: its name, and what is held against which model."""

    name: str
    data: str
    model: str

    def command(self, data: str) -> list[str]:
        """What to run; `data` is the folder of real data."""
        return ["affinage", "inspect", f"{data}/{self.data}", "--model", in_data(self.model, data)]


def inspections(path: Path = HERE / "inspections.yaml") -> list[Inspected]:
    """The inspections in order."""
    return [Inspected(name, **about) for name, about in yaml.safe_load(path.read_text(encoding="utf-8")).items()]


def main() -> None:
    """Run what was asked for, one after the other."""
    asked = parser(__doc__, "inspections of inspections.yaml").parse_args()
    KEPT.mkdir(exist_ok=True)
    for entry in chosen(asked.names, {entry.name: entry for entry in inspections()}):
        command = entry.command(asked.data)
        print(f"$ {' '.join(command)}", file=sys.stderr, flush=True)
        start = time.perf_counter()
        found = call(command, fine=(0, REFUSED))
        kept = {"command": " ".join(command), "seconds": round(time.perf_counter() - start, 1), **slim(found or {})}
        text = json.dumps(kept, indent=1, ensure_ascii=False)
        (KEPT / f"{entry.name}.json").write_text(text + "\n", encoding="utf-8")


def slim(found: dict[str, Any]) -> dict[str, Any]:
    """An inspection without anything that the rows say or where they lie."""
    tokens, distance, coverage = found["tokens"], found["distance"], found["coverage"]
    return {
        **{key: found[key] for key in _TOLD},
        "findings": [{key: one[key] for key in ("code", "severity", "count")} for one in found["findings"]],
        "tokens": tokens and {key: value for key, value in tokens.items() if key != "histogram"},
        "distance": distance and {key: distance[key] for key in _DISTANCE},
        "coverage": coverage and {"gain": coverage["gain"], "enough": coverage["enough"]},
    }


if __name__ == "__main__":
    main()
