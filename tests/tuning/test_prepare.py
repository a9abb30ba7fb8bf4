"""What a run holds out: by content, group, time and likeness; what it drops before that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from affinage.errors import InputError
from affinage.recipe import make_recipe
from affinage.tuning.prepare import prepare
from affinage.tuning.prepared import Prepared
from tests.small import write_rows


def prepared(decoder: Path, path: Path, **settings: Any) -> Prepared:
    return prepare(make_recipe({"data": str(path), "model": str(decoder), "objective": "pretrain", **settings}))


def sides(found: Prepared) -> dict[str, list[str]]:
    return {side: [record.text for record in found.records_on(side)] for side in found.sides}  # type: ignore[attr-defined]


def test_groups_stay_together(decoder: Path, tmp_path: Path) -> None:
    rows = [{"text": f"Row {n} says {n * 7}.", "customer": f"c{n % 30}"} for n in range(300)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    found = sides(prepared(decoder, path, columns={"group": "customer"}, folds=1))
    groups = {side: {int(text.split()[1]) % 30 for text in texts} for side, texts in found.items()}
    assert len(found["held_out"]) > 10
    assert groups["train"].isdisjoint(groups["held_out"])
    assert groups["train"].isdisjoint(groups["validation"])
    assert groups["validation"].isdisjoint(groups["held_out"])


def test_groups_stay_together_in_folds(decoder: Path, tmp_path: Path) -> None:
    rows = [{"text": f"Row {n} says {n * 7}.", "customer": f"c{n % 20}"} for n in range(80)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    found = prepared(decoder, path, columns={"group": "customer"}, folds=4)
    place = [{found.records[number].group for number in part} for part in found.folds]
    assert sum(map(len, place)) == 20
    used = [{found.records[number].group for number in found.sides[side]} for side in found.sides]
    assert sum(map(len, used)) == 20


def test_the_latest_rows_are_held_out(decoder: Path, tmp_path: Path) -> None:
    rows = [{"text": f"Row {n} of the dairy.", "day": f"2024-{1 + n // 28:02d}-{1 + n % 28:02d}"} for n in range(300)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    found = sides(prepared(decoder, path, columns={"time": "day"}))
    number = {side: [int(text.split()[1]) for text in texts] for side, texts in found.items()}
    assert max(number["train"]) < min(number["validation"])
    assert max(number["validation"]) < min(number["held_out"])
    assert number["held_out"][-1] == 299


THINGS = (
    "rind milk curd whey salt moss oven loaf seed malt rice corn leek kale barn churn vat cloth wheel shelf "
    "spring winter goat sheep cow hay clover"
)
WORDS = THINGS.split()


def likeness(tmp_path: Path) -> Path:
    import random

    rng = random.Random(0)
    rows = [{"text": " ".join(rng.choices(WORDS, k=30)) + f" {n}."} for n in range(150)]
    rows += [{"text": rows[n]["text"].replace(f" {n}.", f" {n}!!")} for n in range(0, 20)]
    return write_rows(tmp_path / "rows.jsonl", rows)


def test_near_duplicates_stand_on_one_side(decoder: Path, tmp_path: Path) -> None:
    path = likeness(tmp_path)

    def parted(how: str) -> int:
        found = sides(prepared(decoder, path, near_duplicates=how, folds=1))
        where = {text.rstrip("!.").split()[-1]: set[str]() for texts in found.values() for text in texts}
        for side, texts in found.items():
            for text in texts:
                where[text.rstrip("!.").split()[-1]].add(side)
        return sum(len(at) > 1 for at in where.values())

    assert parted("keep") > 0
    assert parted("join") == 0


def test_near_duplicates_are_dropped_and_counted(decoder: Path, tmp_path: Path) -> None:
    found = prepared(decoder, likeness(tmp_path), near_duplicates="drop", folds=1)
    ledger = found.ledger({record.id for record in found.records})
    assert ledger.dropped == {"near-duplicate": 20}
    assert ledger.read == 170


def test_a_form_is_no_copy(decoder: Path, tmp_path: Path) -> None:
    """All rows say nearly the same: joined, nothing could be held out."""
    long = " ".join(WORDS * 3)
    path = write_rows(tmp_path / "rows.jsonl", [{"text": f"{long} {n}"} for n in range(120)])
    found = prepared(decoder, path, folds=1)
    assert len(found.sides["held_out"]) == 24


def test_benchmark_rows_are_dropped_and_counted(decoder: Path, tmp_path: Path) -> None:
    path = likeness(tmp_path)
    items = path.read_text().splitlines()[30:40]
    (tmp_path / "bench.jsonl").write_text("\n".join(items) + "\n")
    found = prepared(decoder, path, decontaminate=str(tmp_path / "bench.jsonl"), folds=1)
    assert found.ledger({record.id for record in found.records}).dropped["contaminated"] == 10
    with pytest.raises(InputError, match="contaminated 170"):
        prepared(decoder, path, decontaminate=str(path))


def test_redaction_reaches_the_tokens(decoder: Path, tmp_path: Path) -> None:
    rows = [{"text": f"Write to nora.{n}@example.org about wheel {n}."} for n in range(40)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    found = prepared(decoder, path, redact=True)
    assert found.redactions == {"EMAIL": 40}
    assert all("example.org" not in record.text and "[EMAIL]" in record.text for record in found.records)  # type: ignore[attr-defined]
