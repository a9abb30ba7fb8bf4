"""What a report may use of a run folder: each file if it is there, never an error because one is missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The parsed files of one run; a missing or unreadable one is empty."""

    folder: Path
    recipe: dict[str, Any]
    recipe_text: str
    plan: dict[str, Any]
    ledger: dict[str, Any]
    evaluation: dict[str, Any]
    environment: dict[str, Any]
    steps: list[dict[str, Any]]
    validations: list[dict[str, Any]]
    samples: list[dict[str, Any]]
    curve: list[dict[str, Any]]
    findings: list[dict[str, Any]]

    @property
    def model(self) -> str:
        """The base's name; of a local folder only its own name, as a report travels and a path does not."""
        name = str(self.recipe.get("model") or "unknown")
        return name if is_hub_name(name) else Path(name).name

    @property
    def objective(self) -> str:
        return str(self.plan.get("objective") or self.recipe.get("objective") or "")

    @property
    def train(self) -> str:
        return str(self.plan.get("train") or self.recipe.get("train") or "")


def read_run(folder: Path) -> RunFiles:
    """Read whatever is there."""
    curve = _json(folder / "curve.json")
    samples = _json(folder / "samples.json")
    recipe_text = _text(folder / "recipe.yaml")
    try:
        recipe = yaml.safe_load(recipe_text)
    except yaml.YAMLError:
        recipe = None
    rows = [row for line in _text(folder / "metrics.jsonl").splitlines() if isinstance(row := _parse(line), dict)]
    points = curve.get("points", []) if isinstance(curve, dict) else curve
    return RunFiles(
        folder=folder,
        recipe=recipe if isinstance(recipe, dict) else {},
        recipe_text=recipe_text,
        plan=_mapping(folder / "plan.json"),
        ledger=_mapping(folder / "ledger.json"),
        evaluation=_mapping(folder / "evaluation.json"),
        environment=_mapping(folder / "environment.json"),
        steps=[row for row in rows if row.get("loss") is not None],
        validations=[row for row in rows if isinstance(row.get("validation"), dict)],
        samples=_rows(samples),
        findings=_rows(_mapping(folder / "findings.json").get("findings")),
        curve=_rows(points),
    )


def is_hub_name(name: str) -> bool:
    """Whether `name` is `owner/name` on the hub rather than a folder here."""
    owner, slash, rest = name.partition("/")
    return bool(slash and owner.strip(".~") and rest) and "/" not in rest and not Path(name).exists()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _json(path: Path) -> Any:
    return _parse(_text(path))


def _mapping(path: Path) -> dict[str, Any]:
    value = _json(path)
    return value if isinstance(value, dict) else {}


def _rows(value: Any) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _parse(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # missing, or the last line of a run that was killed
        return None
