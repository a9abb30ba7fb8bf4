"""Random models, and runs without what other suites look at: plots, long general texts, hundreds of passes of a probe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from affinage.data.records import Text
from affinage.evaluation.forgetting import general_records
from affinage.models.heads import head_defaults
from tests.small import save_decoder, save_encoder


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    encoders = {"bert": save_encoder(folder / "bert"), "dropping": save_encoder(folder / "dropping", dropout=0.2)}
    return {"llama": save_decoder(folder / "llama"), **encoders}


@pytest.fixture(autouse=True)
def _light(monkeypatch: pytest.MonkeyPatch) -> None:
    def general(part: Any = "measure") -> list[Text]:
        return [Text(text=record.text[:200]) for record in general_records(part)[:3]]

    def defaults(rows: int, classes: int, width: int) -> dict[str, Any]:
        return head_defaults(rows, classes, width) | {"epochs": 5.0}

    monkeypatch.setattr("affinage.tuning.language.general_records", general)
    monkeypatch.setattr("affinage.tuning.probes.head_defaults", defaults)
    monkeypatch.setattr("affinage.reports.html.write_report", lambda folder: None)
