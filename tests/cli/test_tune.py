"""`affinage tune` from the command line."""

from __future__ import annotations

from pathlib import Path

from calling import Call


def test_json_tells_the_run_its_evaluation_and_its_ledger(call: Call, base: Path, tickets: Path) -> None:
    result = call("tune", tickets, "--model", base, "--set", "folds=1", "--set", "threads=1", "--set", "epochs=2", "--out", "mine", "--json")
    assert result.code == 0, result.err
    assert result.json["run"] == "mine"
    assert result.json["evaluation"]["metric"]
    ledger = result.json["ledger"]
    assert ledger["read"] == 40 == sum(ledger[k] for k in ("trained", "not_reached", "validation", "held_out"))
    assert len(result.out.splitlines()) == 1
    assert "plan" in result.err


def test_dry_run_writes_nothing(call: Call, base: Path, questions: Path, tmp_path: Path) -> None:
    result = call("tune", questions, "--model", base, "--set", "threads=1", "--dry-run", "--json")
    assert result.code == 0, result.err
    assert result.json["plan"]["objective"] == "sft"
    ledger = result.json["ledger"]
    assert ledger["read"] == ledger["train"] + ledger["validation"] + ledger["held_out"]
    assert list(tmp_path.iterdir()) == []
