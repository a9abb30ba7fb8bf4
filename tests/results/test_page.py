"""docs/results.md is what the committed evaluation files say, and every one of them has an entry."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "results"))
    for name in ("commands", "page"):
        sys.modules.pop(name, None)


def test_the_page_is_made_from_the_committed_files() -> None:
    from page import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run `make results`"


def test_every_run_is_kept_and_every_kept_file_is_a_run() -> None:
    from commands import entries

    kept = {file.stem for file in (ROOT / "results" / "evaluations").glob("*.json")}
    assert kept == {entry.name for entry in entries()}


def test_the_commands_on_the_page_are_those_that_were_run() -> None:
    from commands import entries

    for entry in entries():
        kept = json.loads((ROOT / "results" / "evaluations" / f"{entry.name}.json").read_text(encoding="utf-8"))
        assert kept["commands"] == [" ".join(command) for command in entry.commands("../shared")]


def test_a_changed_figure_changes_the_page(tmp_path: Path) -> None:
    from commands import entries
    from page import page

    file = ROOT / "results" / "evaluations" / f"{entries()[0].name}.json"
    kept = json.loads(file.read_text(encoding="utf-8"))
    (tmp_path / file.name).write_text(json.dumps(kept), encoding="utf-8")
    before = page(tmp_path)
    kept["evaluation"]["metrics"]["bits_per_byte"]["after"]["value"] += 1.0
    (tmp_path / file.name).write_text(json.dumps(kept), encoding="utf-8")
    assert page(tmp_path) != before


def test_cutting_keeps_whole_lines_and_short_texts(tmp_path: Path) -> None:
    from cut import cut

    source, target = tmp_path / "in.jsonl", tmp_path / "deeper" / "out.jsonl"
    rows = [{"text": "premier\nsecond\ntroisième", "id": 1}, {"text": "court", "id": 2}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert cut(source, target, 15) == 2
    found = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert found == [{"text": "premier\nsecond", "id": 1}, {"text": "court", "id": 2}]
