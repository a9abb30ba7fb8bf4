"""The command line in this process, a small random model, and runs without plots."""

from __future__ import annotations

from pathlib import Path

import pytest

from affinage.cli.main import main
from affinage.data.records import Text
from tests.cli.calling import Call, Result
from tests.small import rows_for, save_decoder, write_rows


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_decoder(tmp_path_factory.mktemp("base") / "decoder")


@pytest.fixture(scope="session")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data") / "chats.jsonl", rows_for("sft"))


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run one command line in an empty folder."""
    short = [Text(text="Mary then communicated to them the fact."), Text(text="A most terrible fog came on.")]
    monkeypatch.setattr("affinage.tuning.language.general_records", lambda part="measure": short)
    monkeypatch.setattr("affinage.reports.html.write_report", lambda folder: None)
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Result:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Result(code, *capsys.readouterr())

    return run
