from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def measured(value: float, spread: float = 0.1) -> dict[str, float]:
    return {"value": value, "low": value - spread, "high": value + spread}


FILES: dict[str, Any] = {
    "plan.json": {
        "settings": {"rank": {"value": 16, "reason": "the usual one"}},
        "objective": "sft",
        "train": "lora",
        "trainable_parameters": 1000,
        "parameters": 10000,
    },
    "ledger.json": {
        "read": 20,
        "trained": 10,
        "not_reached": 1,
        "validation": 3,
        "held_out": 4,
        "dropped": {"duplicate": 2},
        "truncated_tokens": 7,
        "tokens": 900,
        "learned_tokens": 400,
    },
    "evaluation.json": {
        "rows": 4,
        "metric": "loss",
        "higher_is_better": False,
        "helped": "yes",
        "sentence": "The run helped: loss 3.000 -> 2.000.",
        "before": measured(3.0),
        "after": measured(2.0),
        "difference": measured(-1.0),
        "p": 0.01,
        "against": "before",
        "folds": None,
        "forgetting": {
            "metric": "bits_per_byte",
            "before": measured(1.5),
            "after": measured(1.6),
            "difference": measured(0.1, 0.05),
        },
        "metrics": {
            "loss": {"before": measured(3.0), "after": measured(2.0)},
            "confusion": {"before": None, "after": {"labels": ["ham", "spam"], "counts": [[3, 1], [0, 4]]}},
        },
        "baselines": {"counting <tokens> $5_x": measured(5.0)},
    },
    "samples.json": [{"prompt": "<script>alert(1)</script>", "reference": "R", "before": "old", "after": "new & true"}],
    "curve.json": {"points": [{"share": s, "rows": int(40 * s), "accuracy": measured(s)} for s in (0.25, 0.5, 1.0)]},
    "environment.json": {"schema": 1, "packages": {"torch": "2.13"}, "notes": []},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder with every file that a report can use."""
    run = tmp_path / "forms-1"
    run.mkdir()
    for name, value in FILES.items():
        (run / name).write_text(json.dumps(value))
    (run / "recipe.yaml").write_text("model: some/base\nobjective: sft\n")
    rows: list[dict[str, Any]] = [
        {"step": n, "loss": 3 - n / 30, "learning_rate": 1e-3, "gradient_norm": 0.5, "tokens_per_second": 100 + n}
        for n in range(1, 31)
    ]
    rows.insert(20, {"step": 20, "validation": {"metric": "loss", "value": 2.5}})
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 31, "lo')
    return run
