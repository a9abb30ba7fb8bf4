"""A small random base and data files for whole runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.small import rows_for, save_decoder, write_rows


@pytest.fixture(scope="session")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_decoder(tmp_path_factory.mktemp("base") / "decoder")


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    below = tmp_path_factory.mktemp("data")
    return {name: write_rows(below / f"{name}.jsonl", rows_for(name)) for name in ("pretrain", "sft", "classify")}
