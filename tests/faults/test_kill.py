"""`affinage tune`, killed with SIGKILL at seeded moments and resumed: the end is that of a run that never stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.small import rows_for, save_decoder, write_rows

ROOT = Path(__file__).parents[2]
MOMENTS = {"checkpoint": 9, "elsewhere": 5, "tensor file": 3, "delay": 3}
STEADY = ("threads=1", "held_out=2", "validation=2", "samples=0", "learning_rate=0.01", "steps=5", "checkpoint_every=1")


def killed_and_resumed(
    folder: Path, objective: str, moments: dict[str, int], seed: int, *settings: str
) -> list[dict[str, Any]]:
    base = save_decoder(folder / "base")
    data = write_rows(folder / "rows.jsonl", rows_for(objective))
    sets = [word for setting in (*STEADY, *settings) for word in ("--set", setting)]
    words = [str(data), "--model", str(base), "--objective", objective, *sets]
    plan = {"folder": str(folder), "words": words, "moments": moments, "seed": seed}
    (folder / "settings.json").write_text(json.dumps(plan))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.killing", str(folder / "settings.json")],
        capture_output=True, text=True, cwd=ROOT, env=environment, timeout=550, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def check(found: list[dict[str, Any]], moments: dict[str, int]) -> None:
    assert Counter(one["kind"] for one in found) == moments
    for one in found:
        said = json.dumps(one, indent=1)
        assert one["killed"] == -9, said
        assert one["resumed"] == (2 if one["whole"] else 0), said  # killed after its last word: it is finished
        assert one["differs"] == [], said


def test_a_killed_run_ends_like_one_that_never_stopped(tmp_path: Path) -> None:
    settings = ("train=lora", "adapter={lora_dropout: 0.2}", "batch_tokens=400", "micro_tokens=150", "evaluate_every=2")
    found = killed_and_resumed(tmp_path, "sft", MOMENTS, 1, *settings)
    check(found, MOMENTS)
    assert any(one["checkpoints"] for one in found)
    assert any(name.startswith(".") for one in found for name in one["left"])


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "train"), [("pretrain", "full"), ("classify", "last:1"), ("classify", "head")])
def test_so_do_other_cells_with_folds(objective: str, train: str, tmp_path: Path) -> None:
    moments = {"checkpoint": 10, "elsewhere": 5, "tensor file": 3, "delay": 2}
    folds = ("folds=1",) if train == "head" else ("folds=2",)
    check(killed_and_resumed(tmp_path, objective, moments, 2, f"train={train}", *folds), moments)
