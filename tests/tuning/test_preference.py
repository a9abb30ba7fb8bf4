"""DPO and reward models as whole runs: reference and its cache, ledger, folds, resuming, prediction, real rows."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import affinage as af
from affinage.cli.main import main
from affinage.data.records import Text
from affinage.errors import InputError
from affinage.recipe import make_recipe
from affinage.reports.html import write_report
from affinage.training.reporting import Silent
from affinage.tuning.prepare import prepare
from tests.small import rows_for, save_encoder, write_rows

QUICK: dict[str, Any] = {"threads": 1, "samples": 1, "steps": 4, "held_out": 4, "validation": 2, "batch_tokens": 256}


class Noting(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(autouse=True)
def _light(monkeypatch: pytest.MonkeyPatch) -> None:
    short = [Text(text="Mary then communicated to them the fact."), Text(text="A most terrible fog came on.")]
    monkeypatch.setattr("affinage.tuning.language.general_records", lambda part="measure": short)
    monkeypatch.setattr("affinage.reports.html.write_report", lambda folder: None)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "pairs.jsonl", rows_for("dpo"))


def passes(run: Any) -> tuple[int, int]:
    """Completions that went through the network, and those for which that was avoided."""
    found = run.read("passes.json")
    return found["done"], found["avoided"]


@pytest.fixture
def rankings(tmp_path: Path) -> Path:
    """Three answers a prompt, one row a tie of two of them, one a tie of all."""
    rows = [
        {
            "messages": [{"role": "user", "content": f"Tell {row['prompt']}"}],
            "completions": [row["chosen"], row["rejected"], "No."],
            "ranks": [1, 2, 3] if n else [1, 2, 2],
        }
        for n, row in enumerate(rows_for("dpo")[:16])
    ]
    return write_rows(
        tmp_path / "rankings.jsonl", [*rows, rows[3] | {"completions": ["a", "b", "c"], "ranks": [1, 1, 1]}]
    )


def test_the_reference_is_asked_once_and_later_runs_take_it_from_the_cache(
    decoder: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFFINAGE_CACHE", str(tmp_path / "cache"))
    first, second = Noting(), Noting()
    settings = {**QUICK, "model": str(decoder), "epochs": 3, "steps": None}
    run = af.tune(pairs, out=tmp_path / "one", reporter=first, **settings)
    assert run.plan["objective"] == "dpo"
    assert run.plan["settings"]["train"]["value"] == "lora"
    assert any("32 answers asked now, 0 from the cache" in said for said in first.said)
    assert passes(run) == (32, 0)
    again = af.tune(pairs, out=tmp_path / "two", reporter=second, **settings | {"learning_rate": 1e-4})
    assert any("0 answers asked now, 32 from the cache" in said for said in second.said)
    assert passes(again) == (0, 32)
    (file,) = (path for path in (tmp_path / "cache").rglob("*.arr") if b'"shape":[32,1]' in path.read_bytes()[:4096])
    file.write_bytes(file.read_bytes()[:-1])
    third = Noting()
    af.tune(pairs, out=tmp_path / "three", reporter=third, **settings)
    assert any("1 broken cache files were computed again" in said for said in third.said)
    losses = [[row["loss"] for row in af.run(tmp_path / name).metrics() if "loss" in row] for name in ("one", "three")]
    assert losses[0] == losses[1]


def test_a_run_says_what_changed(decoder: Path, pairs: Path, tmp_path: Path) -> None:
    run = af.tune(pairs, model=str(decoder), train="full", out=tmp_path / "run", **QUICK)
    result = run.evaluation
    assert (result["metric"], result["before"]["value"], result["rows"]) == ("accuracy", 0.5, 4)
    assert set(result["metrics"]) == {"accuracy", "pair_loss", "margin", "chosen_reward", "rejected_reward"}
    assert set(result["baselines"]) == {
        "a coin", "length alone", "tf-idf + logistic regression", "the base's own likelihood",
    }  # fmt: skip
    assert result["forgetting"]["metric"] == "bits_per_byte"
    (sample,) = json.loads((run.folder / "samples.json").read_text())
    assert all(sample[side] for side in ("before", "after"))
    write_report(run.folder)
    assert "reward of the preferred answer" in (run.folder / "report.html").read_text()
    assert "objective `dpo`" in (run.folder / "README.md").read_text()
    ledger = run.ledger
    assert ledger["dropped"] == {"duplicate": 1, "chosen-equals-rejected": 1}
    assert ledger["read"] == 18 == ledger["trained"] + ledger["not_reached"] + 2 + 4 + 2
    assert len(run.load().generate(["Tell 3"], max_tokens=3)) == 1


def test_rankings_give_dpo_their_ends_and_the_reward_model_all_their_pairs(
    decoder: Path, rankings: Path, tmp_path: Path
) -> None:
    settings = {**QUICK, "model": str(decoder), "data": [str(rankings)]}
    dpo = prepare(make_recipe(settings | {"objective": "dpo"}))
    assert {len(rows) for rows in dpo.rows_of.values()} == {2}
    assert [drop.reason for drop in dpo.drops] == ["tied-completions"]
    run = af.tune(make_recipe(settings | {"objective": "reward", "train": "last:1", "out": str(tmp_path / "run")}))
    assert run.evaluation["before"] is None
    assert run.ledger["dropped"] == {"tied-completions": 1}
    head = run.load().model.heads["reward"]
    assert float(head.spread) > 0
    assert float(head.centre) != 0


def test_a_reward_run_predicts_and_is_measured_again(
    decoder: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = af.tune(pairs, model=str(decoder), objective="reward", train="lora", out=tmp_path / "run", **QUICK)
    rows = write_rows(
        tmp_path / "rows.jsonl", [*rows_for("dpo")[:3], {"prompt": "Tell", "chosen": "So " * 900, "rejected": "No"}]
    )
    assert main(["predict", "run", str(rows), "--out", "rewards.jsonl", "--threads", "1"]) == 0
    lines = [json.loads(line) for line in Path("rewards.jsonl").read_text().splitlines()]
    assert [len(line.get("rewards", ())) for line in lines] == [2, 2, 2, 0]
    assert lines[3]["error"] == "too-long"
    loaded = run.load()
    first = rows_for("dpo")[0]
    alone = loaded.rewards([first["prompt"]] * 2, [first["chosen"], first["rejected"]])
    assert alone == pytest.approx(lines[0]["rewards"], abs=1e-5)
    with pytest.raises(InputError, match="answer 1 of 1 is empty or too long"):
        loaded.rewards(["Tell"], [""])
    with pytest.raises(InputError, match="longer than the context"):
        loaded.rewards(["Tell"], ["So " * 900])
    capsys.readouterr()
    assert main(["chat", "run"]) == 2
    assert "is a reward model and cannot write" in capsys.readouterr().err
    for name in ("run", "dpo"):
        if name == "dpo":
            af.tune(pairs, model=str(decoder), train="full", out=tmp_path / "dpo", **QUICK)
        assert main(["eval", name, "--data", str(pairs), "--json", "--threads", "1"]) == 0
        told = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (told["rows"], told["metric"]) == (16, "accuracy")
        assert (told["before"] is None) == (name == "run")
    assert main(["compare", "run", "dpo", "--data", str(pairs), "--json", "--threads", "1"]) == 0
    (pair,) = json.loads(capsys.readouterr().out.splitlines()[-1])["paired"]
    assert pair["metric"] == "accuracy"


def test_evaluating_a_dpo_run_on_its_held_out_rows_gives_the_figure_of_the_run(
    decoder: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = af.tune(pairs, model=str(decoder), train="lora", out=tmp_path / "run", **QUICK | {"learning_rate": 1e-2})
    prepared = prepare(run.recipe)
    rows = [
        {"prompt": r.messages[0].content, "chosen": r.best.content, "rejected": r.worst.content}
        for r in prepared.records_on("held_out")
    ]
    held_out = write_rows(tmp_path / "held_out.jsonl", rows)
    assert main(["eval", str(run.folder), "--data", str(held_out), "--json", "--threads", "1"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["metrics"]["margin"]["after"] == pytest.approx(run.evaluation["metrics"]["margin"]["after"], abs=1e-5)


@pytest.mark.parametrize("objective", ["dpo", "reward"])
def test_few_rows_are_cross_validated(objective: str, decoder: Path, pairs: Path, tmp_path: Path) -> None:
    settings = {**QUICK, "held_out": None, "validation": None, "folds": 3, "objective": objective, "train": "last:1"}
    run = af.tune(pairs, model=str(decoder), out=tmp_path / "folds", **settings)
    assert (run.evaluation["folds"], run.evaluation["rows"]) == (3, 16)


def test_a_frozen_networks_completions_are_run_once_ever(decoder: Path, pairs: Path, tmp_path: Path) -> None:
    settings = {**QUICK, "objective": "reward", "train": "head", "model": str(decoder), "steps": None}
    first = af.tune(pairs, out=tmp_path / "one", **settings)
    assert passes(first)[0] == 32
    second = af.tune(pairs, out=tmp_path / "two", **settings | {"seed": 1})
    assert passes(second)[0] == 0
    same = [torch.equal(*(run.load().model.heads["reward"].dense.weight for run in (first, second)))]
    assert same == [False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mix": (1.0,)}, "mix: objective dpo learns from comparisons"),
        ({"forgetting_budget": 0.1}, "forgetting_budget: objective dpo"),
        ({"train": "head"}, "no head of its own"),
        ({"stream": True}, "objective dpo holds its rows in memory"),
        ({"objective": "reward", "dpo": {"beta": 0.5}}, "dpo.*: these are settings of objective dpo"),
        ({"objective": "sft"}, "objective sft learns from chat rows, the data are preference rows"),
    ],
)
def test_what_cannot_be_is_said_before_a_model_is_loaded(
    changes: dict[str, Any], message: str, decoder: Path, pairs: Path
) -> None:
    with pytest.raises(InputError) as refused:
        prepare(make_recipe({**QUICK, "model": str(decoder), "data": [str(pairs)], **changes}))
    assert message in refused.value.message


def test_an_encoder_learns_rewards_and_not_to_write(pairs: Path, tmp_path: Path) -> None:
    encoder = save_encoder(tmp_path / "bert")
    with pytest.raises(InputError, match="it cannot learn to write") as refused:
        prepare(make_recipe({**QUICK, "model": str(encoder), "data": [str(pairs)]}))
    assert "objective reward" in refused.value.fix


@pytest.mark.real
@pytest.mark.parametrize(("objective", "train"), [("dpo", "lora"), ("reward", "last:1")])
def test_real_preferences_end_to_end(objective: str, train: str, shared: Path, tmp_path: Path) -> None:
    with gzip.open(shared / "data/dpo_en_sample/dpo_en_sample.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    short = sorted(rows, key=lambda row: len(str(row)))[:20]
    data = write_rows(tmp_path / "real.jsonl", short)
    run = af.tune(
        data, objective=objective, train=train, out=tmp_path / "run",
        **QUICK | {"held_out": 4, "validation": 2, "batch_tokens": 2048, "epochs": 1, "steps": None},
    )  # fmt: skip
    losses = [row["loss"] for row in run.metrics() if "loss" in row]
    assert losses
    assert run.evaluation["rows"] == 4
    assert run.ledger["read"] == 20
    if objective == "dpo":
        assert losses[0] == pytest.approx(0.693147, abs=1e-4)
