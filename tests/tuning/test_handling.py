"""What a run tells of the settings that change its rows, and what a streamed run does with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import affinage as af
from affinage.errors import GateError, InputError
from affinage.recipe import make_recipe
from affinage.training.reporting import Silent
from affinage.tuning.handling import handling_lines
from affinage.tuning.prepare import prepare
from affinage.tuning.prepared import Prepared
from affinage.tuning.run import resume
from tests.small import write_rows

ROWS = [
    {
        "text": f"Cheese {n} lay in cellar {n * 7 % 41} for {n * 3 % 17} weeks; ask anna{n}@example.org about it.",
        "customer": f"c{n % 30}",
        "day": f"2024-{1 + n // 28:02d}-{1 + n % 28:02d}",
    }
    for n in range(300)
]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", ROWS)


def prepared(decoder: Path, *paths: Path, **settings: Any) -> Prepared:
    data = tuple(map(str, paths))
    return prepare(make_recipe({"data": data, "model": str(decoder), "objective": "pretrain", **settings}))


def told(found: Prepared, key: str) -> tuple[Any, str]:
    """The setting as plan.json has it, which the printed plan must say too."""
    entry = found.plan.to_json()["settings"][key]
    assert dict(handling_lines(found))[key].endswith(entry["reason"])
    return entry["value"], entry["reason"]


def test_nothing_is_told_where_nothing_was_asked(decoder: Path, rows: Path) -> None:
    assert handling_lines(prepared(decoder, rows)) == []


def test_columns_that_part_the_rows_are_told(decoder: Path, rows: Path) -> None:
    group = told(prepared(decoder, rows, columns={"group": "customer"}), "split")
    assert group == ("by group", "30 groups of `customer`, none on two sides")
    found = prepared(decoder, rows, columns={"time": "day"})
    last = max(record.source.locator for record in found.records_on("train") if len(record.source.locator) == 3)
    assert told(found, "split")[1].endswith(f"none trained on is later than {ROWS[int(last) - 1]['day']}")


def test_what_is_dropped_is_told(decoder: Path, rows: Path, tmp_path: Path) -> None:
    benchmark = write_rows(tmp_path / "benchmark.jsonl", ROWS[:5])
    found = prepared(decoder, rows, decontaminate=(str(benchmark),))
    gone = sum(drop.reason == "contaminated" for drop in found.drops)
    assert gone >= 5
    assert told(found, "decontaminate") == ([str(benchmark)], f"{gone} rows were dropped")
    assert dict(handling_lines(found))["dropped"] == f"{gone} rows: contaminated {gone}"
    twins = write_rows(tmp_path / "twins.jsonl", [*ROWS, {"text": ROWS[7]["text"] + " Yes."}])
    found = prepared(decoder, twins, near_duplicates="drop")
    count = sum(drop.reason == "near-duplicate" for drop in found.drops)
    assert count >= 1
    assert told(found, "near_duplicates") == ("drop", f"{count} rows were dropped")
    assert told(prepared(decoder, twins, near_duplicates="keep"), "near_duplicates")[0] == "keep"


def test_a_mix_is_told_in_shares(decoder: Path, rows: Path, tmp_path: Path) -> None:
    other = write_rows(tmp_path / "other.jsonl", [{"text": f"Loaf {n} needs {n} pinches."} for n in range(40)])
    value, shares = told(prepared(decoder, rows, other, mix=(3, 1)), "mix")
    assert value == [3, 1]
    assert shares == f"of the training tokens: {rows} 75 %, {other} 25 %"


@pytest.mark.parametrize("stream", [False, True])
def test_redacted_rows_hold_no_address(decoder: Path, rows: Path, stream: bool) -> None:
    from affinage.tuning.work import make_work

    found = prepared(decoder, rows, redact=True, stream=stream, batch_tokens=256, epochs=1, samples=0)
    assert told(found, "redact")[1].startswith("EMAIL 300")
    source = make_work(found, Silent()).batches(None, found.sides["train"])  # type: ignore[arg-type]
    rows = (row for step in source for batch in step for row in batch.tokens_BT.tolist())
    seen = "".join(found.renderer.tokenizer.decode(row) for row in rows)
    held_out = "".join(record.text for record in found.records_on("held_out"))  # type: ignore[attr-defined]
    assert seen.count("[EMAIL]") == len(found.sides["train"])
    assert "anna" not in seen + held_out


@pytest.mark.parametrize(
    "settings",
    [
        {"near_duplicates": "drop"},
        {"decontaminate": ("rows.jsonl",)},
        {"columns": {"group": "customer"}},
        {"columns": {"time": "day"}},
    ],
)
def test_what_needs_all_rows_is_refused_for_a_stream(decoder: Path, rows: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="needs all rows in memory"):
        prepared(decoder, rows, stream=True, **settings)


def test_a_stream_is_told(decoder: Path, rows: Path) -> None:
    assert told(prepared(decoder, rows, stream=True), "stream") == (True, "asked for")


@pytest.mark.parametrize("begins", [0.0, 1.0])
def test_a_run_that_could_not_keep_its_budget_saves_nothing(
    decoder: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begins: float
) -> None:
    lost = iter([begins, *[1.0] * 9])
    monkeypatch.setattr("affinage.tuning.language.LanguageWork.forgotten", lambda self, model: lambda: next(lost))
    settings: dict[str, Any] = {"steps": 4, "samples": 0, "forgetting_budget": 0.5, "objective": "pretrain"}
    out = tmp_path / "run"
    with pytest.raises(GateError, match=r"forgetting budget of 0\.5"):
        af.tune(rows, model=str(decoder), out=out, evaluate_every=2, **settings)
    assert not (out / "model").exists()
    with pytest.raises(GateError):
        resume(out)


def test_the_runs_files_tell_it_too(decoder: Path, rows: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 2, "samples": 0, "objective": "pretrain", "redact": True}
    run = af.tune(rows, model=str(decoder), out=tmp_path / "run", columns={"group": "customer"}, **settings)
    plan = json.loads((run.folder / "plan.json").read_text())["settings"]
    card = (run.folder / "README.md").read_text()
    for key in ("redact", "split"):
        assert plan[key]["reason"] in card
        assert f"`{key}`" in card
    codes = [finding["code"] for finding in json.loads((run.folder / "findings.json").read_text())["findings"]]
    assert "redacted" in codes
