"""Whole runs on streamed data, on mixed sources, and under a forgetting budget."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import affinage as af
from affinage.errors import InputError
from affinage.recipe import make_recipe
from affinage.training.reporting import Silent
from affinage.tuning.prepare import prepare
from affinage.tuning.run import resume, tune
from tests.small import write_rows

QUICK: dict[str, Any] = {
    "train": "full", "steps": 6, "batch_tokens": 256, "micro_tokens": 256, "held_out": 8, "validation": 6,
    "learning_rate": 1e-2, "samples": 0, "evaluate_every": 3, "checkpoint_every": 2, "objective": "pretrain",
}  # fmt: skip


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [{"text": f"Milk {n} became curd {n * 7 % 31} and later whey {n * 3 % 17}."} for n in range(400)]
    return write_rows(tmp_path_factory.mktemp("large") / "large.jsonl", rows)


def test_a_streamed_run_from_end_to_end(decoder: Path, large: Path, tmp_path: Path) -> None:
    run = af.tune(large, model=str(decoder), out=tmp_path / "run", stream=True, **QUICK)
    ledger = run.ledger
    assert ledger["read"] == 400 == ledger["trained"] + ledger["not_reached"] + 14
    assert 0 < ledger["trained"] < 386
    assert run.evaluation["rows"] == 8
    assert run.evaluation["after"]["value"] < run.evaluation["before"]["value"]


class Closing(Silent):
    """Remembers the closing words."""

    said: dict[str, str]

    def table(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        self.said = dict(rows)


def test_the_closing_words_tell_what_came_from_the_cache(decoder: Path, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": f"Whey {n} of vat {n * 5 % 23}."} for n in range(200)])
    settings = {**QUICK, "data": str(rows), "model": str(decoder), "steps": 2}
    said = []
    for name, stream in (("first", True), ("second", True), ("whole", False)):
        closing = Closing()
        tune(make_recipe({**settings, "stream": stream, "out": tmp_path / name}), reporter=closing)
        said.append(closing.said.get("tokens"))
    assert said == [
        "0 of 1 blocks from the cache, 1 rendered now",
        "1 of 1 blocks from the cache, 0 rendered now",
        None,
    ]


def test_no_held_out_text_is_learned(decoder: Path, large: Path, tmp_path: Path) -> None:
    recipe = make_recipe({**QUICK, "data": str(large), "model": str(decoder), "stream": True})
    prepared = prepare(recipe)
    from affinage.tuning.work import make_work

    work = make_work(prepared, Silent())
    source = work.batches(None, prepared.sides["train"])  # type: ignore[arg-type]
    carried = {
        prepared.renderer.tokenizer.decode(tokens[mask].tolist(), skip_special_tokens=True)
        for step in source
        for batch in step
        for tokens, mask in zip(batch.tokens_BT, batch.mask_BT, strict=True)
    }
    reserved = {record.text for side in ("held_out", "validation") for record in prepared.records_on(side)}  # type: ignore[attr-defined]
    assert len(reserved) == 14
    assert len(carried) == 386
    assert carried.isdisjoint(reserved)


class StopAt(Silent):
    """Ends the run right after a step."""

    @contextmanager
    def stage(self, text: str, total: int) -> Iterator[Any]:
        def advance(done: int, said: str = "") -> None:
            if text == "training" and done == 5:
                raise KeyboardInterrupt

        yield advance


def test_a_resumed_stream_ends_with_the_same_weights(decoder: Path, large: Path, tmp_path: Path) -> None:
    settings = {**QUICK, "data": str(large), "model": str(decoder), "stream": True}
    straight = tune(make_recipe({**settings, "out": tmp_path / "straight"}))
    with pytest.raises(KeyboardInterrupt):
        tune(make_recipe({**settings, "out": tmp_path / "stopped"}), reporter=StopAt())
    again = resume(tmp_path / "stopped")
    one, other = (load_file(next(run.model_folder.glob("*.safetensors"))) for run in (straight, again))
    assert all(one[name].equal(other[name]) for name in one)
    assert straight.ledger == again.ledger


@pytest.mark.parametrize("kind", ["gz", "csv", "txt"])
def test_other_files_are_unpacked_first(decoder: Path, tmp_path: Path, kind: str) -> None:
    texts = [f"Milk {n} became curd {n * 7 % 31}, then whey." for n in range(120)]
    if kind == "gz":
        path = tmp_path / "rows.jsonl.gz"
        path.write_bytes(gzip.compress("".join(json.dumps({"text": text}) + "\n" for text in texts).encode()))
    elif kind == "csv":
        path = tmp_path / "rows.csv"
        path.write_text("text\n" + "".join(f'"{text}"\n' for text in texts))
    else:
        path = tmp_path / "book.txt"
        path.write_text("\n\n".join(30 * texts))
    settings = {**QUICK, "data": str(path), "model": str(decoder), "stream": True, "steps": 2}
    run = tune(make_recipe({**settings, "out": tmp_path / "run"}))
    assert run.ledger["trained"] > 0
    if kind != "txt":
        assert run.ledger["read"] == 120


def test_damage_that_is_met_later_is_dropped_and_counted(decoder: Path, large: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(large.read_text() + "{broken\n")
    run = af.tune(path, model=str(decoder), out=tmp_path / "run", stream=True, **{**QUICK, "steps": 100, "epochs": 1})
    assert run.ledger["dropped"] == {"malformed": 1}
    assert run.ledger["read"] == 401
    assert "malformed" in (run.folder / "dropped.jsonl").read_text()


def test_what_must_be_held_in_memory_is_refused(decoder: Path, files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="classify"):
        prepare(make_recipe({"data": str(files["classify"]), "model": str(decoder), "stream": True}))


def test_sources_are_mixed_by_weight(decoder: Path, tmp_path: Path) -> None:
    many = write_rows(tmp_path / "many.jsonl", [{"text": f"Milk number {n:03d} here."} for n in range(100)])
    few = write_rows(tmp_path / "few.jsonl", [{"text": f"Salt number {n:03d} here."} for n in range(20)])
    settings = {**QUICK, "held_out": 4, "validation": 4, "epochs": 1.0, "steps": None}
    recipe = make_recipe({**settings, "data": (str(many), str(few)), "model": str(decoder), "mix": (1, 1)})
    prepared = prepare(recipe)
    from affinage.tuning.work import make_work

    source = make_work(prepared, Silent()).batches(None, prepared.sides["train"])  # type: ignore[arg-type]
    batches = (batch for step in source for batch in step)
    seen = [prepared.renderer.tokenizer.decode(tokens.tolist()) for batch in batches for tokens in batch.tokens_BT]
    salt = sum("Salt" in text for text in seen)
    assert len(seen) == pytest.approx(112, abs=8)
    assert salt / len(seen) == pytest.approx(0.5, abs=0.07)


def test_a_budget_of_nothing_keeps_the_weights(decoder: Path, large: Path, tmp_path: Path) -> None:
    """A random model cannot forget, so its general text gets better or worse by chance: worse is never kept."""
    run = af.tune(large, model=str(decoder), out=tmp_path / "run", forgetting_budget=0.0, **QUICK)
    said = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    scored = [line for line in said if "validation" in line]
    assert [line["step"] for line in scored] == [0, 3, 6]
    within = [line for line in scored if line["forgetting"]["difference"] <= 0]
    best = min(within, key=lambda line: line["validation"]["value"])
    assert run.evaluation["training"]["best_step"] == best["step"]


@pytest.mark.parametrize("key", ["mix", "replay", "forgetting_budget"])
def test_settings_that_could_change_nothing_are_refused(decoder: Path, files: dict[str, Path], key: str) -> None:
    settings = {"data": str(files["classify"]), "model": str(decoder), key: (1.0,) if key == "mix" else 0.5}
    with pytest.raises(InputError, match=key):
        prepare(make_recipe(settings))


def test_a_budget_needs_validation_rows(decoder: Path, large: Path) -> None:
    settings = {**QUICK, "data": str(large), "model": str(decoder), "forgetting_budget": 0.1, "validation": 0}
    with pytest.raises(InputError, match="validation"):
        prepare(make_recipe(settings))


def test_a_budget_replays_general_text(decoder: Path, large: Path) -> None:
    settings = {**QUICK, "data": str(large), "model": str(decoder)}
    without, asked, derived = (
        prepare(make_recipe({**settings, **more})).plan.settings["replay"]
        for more in ({}, {"replay": 0.4}, {"forgetting_budget": 0.05})
    )
    assert without == (0.0, "no forgetting budget is set")
    assert asked == (0.4, "asked for")
    assert derived[0] > 0
    assert "0.05 bits per byte" in derived[1]
