"""What the page says of LoRA's savings follows from the kept figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "results"))
    for name in ("commands", "lora_page", "lora_ranks", "run"):
        sys.modules.pop(name, None)


def _kept(name: str, seed: int, share: float) -> dict[str, Any]:
    """A run that took this share of full tuning's weights and bytes, a tenth less memory and no less time."""
    bound = {"value": 3.0, "low": 2.9, "high": 3.1}
    change = {"value": -0.5 - seed / 10, "low": -0.7 - seed / 10, "high": -0.3}
    pair = {"before": bound, "after": {**bound, "value": 2.5 + share}}
    return {
        "name": name, "seed": seed, "command": f"affinage tune --out {name}-{seed}", "rows": 100, "helped": "yes",
        "training": {
            "trainable_parameters": round(1e6 * share), "optimizer_bytes": round(8e6 * share),
            "saved_bytes": round(4e6 * share), "memory_bytes": 1e8 if name == "full" else 9e7, "steps": 4,
        },
        "loss": {**pair, "difference": change}, "bits_per_byte": pair,
        "step_tokens": [100, 90, 80, 70], "step_seconds": [9.0, 9.0, 1.0, 2.0],
        "environment": {
            "processor": "CPU", "threads": 2, "dtype": "float32", "device": "cpu", "products": "torch",
            "packages": {"torch": "2", "peft": "0"},
        },
    }  # fmt: skip


def _runs(seeds: int = 2) -> list[dict[str, Any]]:
    from lora_ranks import settings

    shares = {name: 0.005 * 2**place for place, name in enumerate(settings())} | {"full": 1.0}
    return [_kept(name, seed, share) for seed in range(seeds) for name, share in shares.items()]


def test_the_claim_is_judged_by_the_figures() -> None:
    from lora_page import section

    said = section(_runs())
    assert (
        "**weights that train**: it holds at ranks 1, 2 and 4 (99.5 % less at rank 1, 84.0 % less at rank 64)" in said
    )
    assert "**peak memory**: it does not hold at any rank (10.0 % less at rank 1" in said
    assert "**time of a step**: it does not hold at any rank (0.0 % less" in said
    assert "| rank-1 | 5,000 (0.5 %) | 39 KiB (0.5 %) | 20 KiB (0.5 %) | 85.8 MiB (90 %) | 100 % (100 to 100) |" in said
    assert "| full | 1,000,000 | 7.6 MiB | 3.8 MiB | 95.4 MiB | 1.5 s |" in said
    assert "-0.550 (-0.800 to -0.300)" in said
    assert said.count("affinage tune") == 7


def test_a_changed_figure_changes_the_verdict() -> None:
    from lora_page import section

    runs = _runs()
    for run in runs:
        if run["name"] != "full":
            run["training"]["memory_bytes"] = 1e6
    assert "**peak memory**: it holds at ranks 1, 2, 4, 8, 16 and 64 (99.0 % less" in section(runs)


def test_nothing_is_said_before_every_setting_is_measured() -> None:
    from lora_page import section

    assert section([]) == ""
    assert section(_runs()[:-1]) == ""


def test_times_of_other_batches_are_not_compared() -> None:
    from lora_page import section

    runs = _runs()
    runs[0]["step_tokens"][0] += 1
    with pytest.raises(ValueError, match=r"rank-1, seed 0: other batches"):
        section(runs)


def test_every_setting_is_one_command_that_differs_in_what_trains() -> None:
    from lora_ranks import RANKS, entry, settings

    commands = {name: entry(name, 1, 30).commands("../shared") for name in settings()}
    assert all(len(one) == 1 and "seed=1" in one[0] for one in commands.values())
    assert [f"rank={rank}" in commands[f"rank-{rank}"][0] for rank in RANKS] == [True] * len(RANKS)
    assert "full" in commands["full"][0]
