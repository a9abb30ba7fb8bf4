"""The built wheel works from any folder, without the repository: everything it needs travels inside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(ROOT)]
    subprocess.run(command, check=True)
    return next(out.glob("affinage-*.whl"))


def test_the_wheel_holds_base_examples_and_templates(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in (
        "affinage/models/tiny/model.safetensors",
        "affinage/models/tiny/tokenizer.json",
        "affinage/examples/tickets.jsonl",
        "affinage/examples/general.jsonl",
        "affinage/reports/report.html.j2",
        "affinage/reports/journey.html.j2",
        "affinage/reports/report.css",
        "affinage/py.typed",
    ):
        assert needed in names, needed
    assert sum(name.startswith("affinage/examples/documents/") for name in names) >= 24
    weights = zipfile.ZipFile(wheel).getinfo("affinage/models/tiny/model.safetensors")
    assert weights.file_size <= 12 * 2**20


def test_the_wheel_works_away_from_the_repository(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    rows = [json.dumps({"text": f"A line about {word}.", "label": word[0]}) for word in ("tea", "tin", "oak", "oat")]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    code = "import affinage, sys; from affinage.cli.main import main; print(affinage.__file__); sys.exit(main(sys.argv[1:]))"
    words = ["tune", "rows.jsonl", "--out", "run", "--set", "epochs=1", "--set", "held_out=0", "--set", "validation=0"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--json"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()[0], done.stdout.splitlines()[-1]
    assert Path(first).is_relative_to(site)
    assert json.loads(last)["ledger"]["trained"] == 4
    assert (tmp_path / "run" / "report.html").exists()
