"""docs/results.md is what the committed files say, and every one of them has an entry."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "results"))
    for name in ("commands", "inspections", "lora_page", "lora_ranks", "page", "run"):
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


def kept_inspections() -> dict[str, dict[str, Any]]:
    files = (ROOT / "results" / "inspections").glob("*.json")
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def test_every_inspection_is_kept_with_its_command() -> None:
    from inspections import inspections

    assert {name: one["command"] for name, one in kept_inspections().items()} == {
        one.name: " ".join(one.command("../shared")) for one in inspections()
    }


def test_planted_distances_came_out_as_planted() -> None:
    kept = kept_inspections()
    found = [kept[f"{name}-stories260k"]["distance"]["verdict"] for name in ("tinystories", "pubmedqa", "morfitt-fr")]
    assert found == ["in", "far", "far"]


def test_nothing_that_rows_say_is_kept(tmp_path: Path) -> None:
    """Every text in a kept inspection is a word of affinage's own; and what is new in an inspection stays out."""
    from inspections import slim

    from affinage.inspection.catalogue import CATALOGUE, SEVERITIES

    own = {*CATALOGUE, *SEVERITIES, "in", "near", "far", "text", "chat", "labelled", "preference", "pretrain", "sft"}
    for name, kept in kept_inspections().items():
        said = set(_texts({key: value for key, value in kept.items() if key != "command"}))
        assert said <= own | {"classify"}, name
    told = {"code": "secret", "severity": "note", "count": 1, "message": "private", "examples": [{"text": "private"}]}
    found = {
        "kind": "text", "objective": None, "ledger": {"read": 1}, "languages": {}, "label_count": 0, "labels": ["private"],
        "findings": [told], "rows": ["private"], "tokens": None, "distance": None, "coverage": None,
    }  # fmt: skip
    assert "private" not in json.dumps(slim(found))
    assert slim(found)["findings"] == [{"code": "secret", "severity": "note", "count": 1}]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def test_a_changed_finding_changes_the_page(tmp_path: Path) -> None:
    from page import page

    (name, kept), *_ = kept_inspections().items()
    findings = [("refused", "error", 1), ("duplicate", "note", 1234)]
    kept["findings"] = [dict(zip(("code", "severity", "count"), one, strict=True)) for one in findings]
    (tmp_path / f"{name}.json").write_text(json.dumps(kept), encoding="utf-8")
    said = page(tmp_path / "no_runs", tmp_path, tmp_path / "no_ranks")
    assert "**[refused](findings/refused.md)**<br>*[duplicate](findings/duplicate.md) 1,234*" in said
    assert said.count("affinage inspect") == 1
    assert "affinage tune .." not in said


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    from commands import chosen

    assert chosen([], {"a": 1, "b": 2}) == [1, 2]
    assert chosen(["b"], {"a": 1, "b": 2}) == [2]
    with pytest.raises(SystemExit, match="no such name: c; there are: a, b"):
        chosen(["c"], {"a": 1, "b": 2})


def test_cutting_keeps_whole_lines_and_short_texts(tmp_path: Path) -> None:
    from cut import cut

    source, target = tmp_path / "in.jsonl", tmp_path / "deeper" / "out.jsonl"
    rows = [{"text": "premier\nsecond\ntroisième", "id": 1}, {"text": "court", "id": 2}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert cut(source, target, 15) == 2
    found = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert found == [{"text": "premier\nsecond", "id": 1}, {"text": "court", "id": 2}]
