"""A tiny random model on disk, small data files, and the command line called in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from affinage.cli.main import main
from tests.cli.calling import Call, Result, write_lines
from tests.small import save_decoder

LABELS = {"cheese": ("rind", "milk", "curd", "whey"), "bread": ("crumb", "flour", "oven", "yeast")}


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run one command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Result:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random decoder of two small blocks over bytes."""
    return save_decoder(tmp_path_factory.mktemp("base") / "decoder", initializer_range=0.02)


@pytest.fixture(scope="session")
def tickets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty labelled texts that a linear head can tell apart."""
    rows = [
        {"text": f"{word} {word} number {number}", "label": label}
        for label, words in LABELS.items()
        for number in range(5)
        for word in words
    ]
    return write_lines(tmp_path_factory.mktemp("data") / "tickets.jsonl", rows)


@pytest.fixture(scope="session")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty prompts with responses."""
    rows = [{"prompt": f"Say {number}", "response": f"It is {number}."} for number in range(30)]
    return write_lines(tmp_path_factory.mktemp("data") / "questions.jsonl", rows)


@pytest.fixture(scope="session")
def classifier(base: Path, tickets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished `classify` run."""
    return _tuned(tmp_path_factory.mktemp("runs") / "classify", tickets, base, "epochs=4")


@pytest.fixture(scope="session")
def writer(base: Path, questions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished `sft` run."""
    return _tuned(tmp_path_factory.mktemp("runs") / "sft", questions, base, "steps=3", "train=lora", "samples=2")


def _tuned(out: Path, data: Path, base: Path, *settings: str) -> Path:
    sets = [word for setting in (*settings, "folds=1", "threads=1") for word in ("--set", setting)]
    assert main(["tune", str(data), "--model", str(base), "--out", str(out), *sets]) == 0
    return out
