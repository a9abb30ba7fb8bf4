"""Fifty whole runs on labels that mean nothing: at most one in twenty may claim to have helped."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import affinage as af
from tests.small import save_decoder, write_rows

WORDS = [f"{first}{second}" for first in ("ri", "mi", "cu", "wh", "sa") for second in ("nd", "lk", "rd", "ey")]


@pytest.mark.slow
def test_shuffled_labels_hardly_ever_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affinage.reports.html.write_report", lambda folder: None)
    monkeypatch.setattr("affinage.tuning.probes.PARTS", ())
    base = save_decoder(tmp_path / "base")
    claims = 0
    for number in range(50):
        rng = random.Random(number)
        texts = [" ".join(rng.choices(WORDS, k=8)) for _ in range(150)]
        rows = [{"text": text, "label": rng.choice(["yes", "no", "maybe"])} for text in texts]
        data = write_rows(tmp_path / f"{number}.jsonl", rows)
        run = af.tune(
            data, model=str(base), train="head", out=tmp_path / f"run-{number}", samples=0, threads=1, seed=number
        )
        claims += run.evaluation["helped"] == "yes"
    assert claims <= 2
