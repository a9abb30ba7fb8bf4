"""The ledger adds up or says so."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from affinage.data.ledger import Drop, Ledger, write_dropped
from affinage.data.records import Source
from affinage.errors import InputError, RunError


def test_a_ledger_adds_up_or_raises() -> None:
    ledger = Ledger(read=10, trained=5, not_reached=1, validation=1, held_out=1)
    assert not ledger.adds_up()
    with pytest.raises(RunError, match="10 rows read, 8 accounted for"):
        ledger.check()
    ledger.drop([Drop("duplicate", Source("f", "1")), Drop("duplicate", Source("f", "2"))])
    ledger.check()
    ledger.drop([Drop("empty-text", Source("f", "3"))])
    with pytest.raises(RunError, match="11 accounted"):
        ledger.check()


def test_json_has_the_documented_keys() -> None:
    ledger = Ledger(read=3, trained=2, dropped={"x": 1}, tokens=9, learned_tokens=4, truncated_tokens=2)
    assert ledger.to_json() == {
        "schema": 1, "read": 3, "trained": 2, "not_reached": 0, "validation": 0, "held_out": 0, "dropped": {"x": 1},
        "truncated_tokens": 2, "tokens": 9, "learned_tokens": 4,
    }  # fmt: skip


def test_people_see_every_count() -> None:
    ledger = Ledger(read=1203, trained=1200, dropped={"a<b": 3})
    assert ledger.lines()[0].startswith("1,203 rows read = 1,200 trained")
    assert "a<b 3" in ledger.lines()[1]
    assert "dropped: a&lt;b" in ledger._repr_html_()
    assert len(Ledger().lines()) == 2


def test_dropped_rows_are_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "dropped.jsonl"
    write_dropped(path, [Drop("duplicate", Source("f.jsonl", "7"), "the same as f.jsonl:1", "abc")])
    assert orjson.loads(path.read_bytes()) == {
        "id": "abc", "source": "f.jsonl:7", "reason": "duplicate", "detail": "the same as f.jsonl:1",
    }  # fmt: skip
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(RunError, match="cannot write"):
        write_dropped(tmp_path / "gone" / "dropped.jsonl", [])


def test_only_damage_stops_a_run() -> None:
    assert Drop("duplicate", Source("f")).settle("error").reason == "duplicate"
    damaged = Drop("wrong-type", Source("f", "3"), "not text")
    assert damaged.settle("drop") is damaged
    with pytest.raises(InputError, match="f:3: not text"):
        damaged.settle("error")
