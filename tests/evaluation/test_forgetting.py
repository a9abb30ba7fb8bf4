from __future__ import annotations

import math

import numpy as np
import pytest

from affinage.evaluation.forgetting import forgetting, general_records
from affinage.evaluation.language import LanguageScores


def test_general_text_is_bundled() -> None:
    records = general_records()
    assert len(records) >= 40
    assert all(len(record.text) > 100 for record in records)
    assert len({record.id for record in records}) == len(records)
    assert str(records[0].source) == "affinage:general.jsonl:1"
    replayed = {record.id for record in general_records("replay")}
    assert replayed.isdisjoint(record.id for record in records)
    assert len(replayed) == 13
    watched = {record.id for record in general_records("watch")}
    assert len(watched) == 7
    assert watched.isdisjoint(replayed | {record.id for record in records})


def test_difference_is_per_byte_and_paired() -> None:
    rng = np.random.default_rng(0)
    size = rng.integers(200, 900, 60).astype(float)
    nll = size * rng.normal(1.0, 0.2, 60)
    before = LanguageScores(nll, size / 4, size, size * 0)
    after = LanguageScores(nll + math.log(2) * 0.1 * size, size / 4, size, size * 0)
    report = forgetting(before, after)
    assert report["metric"] == "bits_per_byte"
    assert report["difference"]["value"] == pytest.approx(0.1)
    assert report["difference"]["low"] == pytest.approx(0.1)
    assert report["after"]["value"] - report["before"]["value"] == pytest.approx(0.1)
    assert report["rows"] == 60


def test_bytes_are_needed() -> None:
    scores = LanguageScores(*np.ones((2, 3)), np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match="per byte"):
        forgetting(scores, scores)
