"""Every command of README.md is run, from top to bottom, in a folder that looks like a fresh clone."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from affinage.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND = ".venv/bin/affinage"


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


LINES = [line for block in blocks("sh") for line in block.splitlines() if line.strip() and not line.startswith("#")]
MAKES = [line for line in LINES if line.startswith("make ")]
CALLS = [line for line in LINES if line.startswith(f"{COMMAND} ")]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the sources in it; one thread, as other tests run beside this one."""
    (tmp_path / "src").symlink_to(ROOT / "src", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFFINAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})
    return tmp_path


def test_no_command_is_left_out() -> None:
    assert not [line for line in LINES if line not in (*MAKES, *CALLS)]
    assert len(MAKES) >= 3
    assert len(CALLS) >= 5


@pytest.mark.parametrize("line", MAKES)
def test_make_knows_the_target(line: str) -> None:
    done = subprocess.run([*shlex.split(line), "-n"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_commands_work_one_after_the_other(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in CALLS:
        code = main(shlex.split(line)[1:])
        said = capsys.readouterr()
        assert code == 0, f"{line}\n{said.err}"
    run = clone / "runs" / "cards"
    promised = re.findall(r"^\| (`.*?`) \|", README.partition("## What a run leaves")[2], re.MULTILINE)
    for name in re.findall(r"`([\w./]+)`", " ".join(promised)):
        assert (run / name).exists() or name == "checkpoints/", name
    assert (clone / "runs" / "labels.jsonl").stat().st_size
    assert (clone / "runs" / "cards-merged" / "model.safetensors").stat().st_size


def test_the_python_example_works(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python")
    exec(compile(code, "README.md", "exec"), {})
    sentence, label = capsys.readouterr().out.splitlines()
    assert "accuracy" in sentence
    assert label in {"advice", "billing", "delivery", "quality", "subscription", "trade"}
