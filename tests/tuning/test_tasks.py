"""Heads that say several labels or a number, from the file to the report, the predictions and the comparison."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

import affinage as af
from affinage.cli.main import main
from affinage.errors import InputError
from affinage.models.saving import load_run
from affinage.recipe import make_recipe
from affinage.tuning.run import resume, tune
from tests.contract.cells import KilledAt, KilledError
from tests.contract.checks import MACHINE, weights_of
from tests.small import save_encoder, write_rows

WORDS = {"milk": ("rind", "curd", "whey"), "bread": ("crumb", "flour", "oven"), "green": ("leek", "kale", "moss")}
FILL = ("the", "we", "saw", "and", "some", "then")
QUICK: dict[str, Any] = {"threads": 1, "samples": 2, "held_out": 30, "validation": 30, "head": {"layer": -1}}


def rows(count: int, seed: int, *, shuffled: bool = False) -> list[dict[str, Any]]:
    """Texts in which each label has words of its own, and a number that counts the labels."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        labels = [label for label in WORDS if rng.random() < 0.4]
        words = [*(rng.choice(WORDS[label]) for label in labels for _ in range(3)), *rng.choices(FILL, k=4)]
        rng.shuffle(words)
        made.append({"text": " ".join(words), "labels": labels, "label": round(2 * len(labels) + rng.gauss(0, 0.2), 3)})
    if shuffled:
        answers = [(row["labels"], row["label"]) for row in made]
        rng.shuffle(answers)
        made = [{"text": row["text"], "labels": n, "label": v} for row, (n, v) in zip(made, answers, strict=True)]
    return made


def _told(text: str) -> str:
    """The labels of one of these texts, in words."""
    return ", ".join(sorted(label for label, words in WORDS.items() if set(words) & set(text.split()))) or "none"


def kept(made: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    return [{"text": row["text"], key: row[key]} for row in made]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    below, made = tmp_path_factory.mktemp("answers"), rows(200, 0)
    return {
        "multi": write_rows(below / "multi.jsonl", kept(made, "labels")),
        "number": write_rows(below / "number.jsonl", kept(made, "label")),
        "single": write_rows(
            below / "single.jsonl", [{"text": r["text"], "label": str(len(r["labels"]))} for r in made]
        ),
    }


@pytest.fixture(scope="session")
def runs(data: dict[str, Path], decoder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run on the frozen model for each kind of answer."""
    below = tmp_path_factory.mktemp("runs")
    made = {}
    for task in ("multi", "number"):
        made[task] = af.tune(data[task], model=str(decoder), train="head", out=below / task, **QUICK).folder
    return made


def test_several_labels_are_learned_scored_and_told(runs: dict[str, Path]) -> None:
    run = af.run(runs["multi"])
    plan, result = run.plan, run.evaluation
    assert plan["settings"]["head.task"] == {"value": "multi", "reason": "several labels a row"}
    assert (result["metric"], result["higher_is_better"], result["rows"]) == ("row_f1", True, 30)
    assert set(result["baselines"]) == {"the most frequent labels", "tf-idf + logistic regression"}
    assert result["after"]["value"] > result["baselines"]["the most frequent labels"]["value"]
    table = result["metrics"]["labels"]["after"]
    assert [row["label"] for row in table] == ["bread", "green", "milk"]
    assert "confusion" not in result["metrics"]
    calibration = run.read("calibration.json")
    assert set(calibration["thresholds"]) == {"bread", "green", "milk"}
    curve = run.read("curve.json")
    assert curve["metric"] == "row_f1"
    assert curve["points"][-1]["row_f1"]["value"] == result["after"]["value"]
    card, report = (run.folder / "README.md").read_text(), (run.folder / "report.html").read_text()
    assert "| label | rows | said | precision |" in card
    assert "rows with exactly the right labels" in card
    for told in ("Label by label", "Would more rows help?", "held-out F1 per row", "In its own words"):
        assert told in report
    samples = json.loads((run.folder / "samples.json").read_text())
    assert [row["reference"] for row in samples] == [_told(row["prompt"]) for row in samples]
    assert all(" %" in row["after"] for row in samples)


def test_numbers_are_learned_scored_and_told(runs: dict[str, Path]) -> None:
    run = af.run(runs["number"])
    result = run.evaluation
    assert run.plan["settings"]["head.task"] == {"value": "number", "reason": "the labels are numbers"}
    assert (result["metric"], result["higher_is_better"]) == ("rmse", False)
    assert result["after"]["value"] < result["baselines"]["mean of the training rows"]["value"]
    assert set(result["metrics"]) == {"rmse", "mae", "r2", "pearson", "spearman", "within_interval", "points"}
    assert len(result["metrics"]["points"]["after"]["true"]) == 30
    calibration = run.read("calibration.json")
    assert (calibration["covers"], calibration["rows"]) == (0.9, 30)
    points = run.read("curve.json")["points"]
    assert points[0]["rmse"]["value"] > points[-1]["rmse"]["value"]
    card, report = (run.folder / "README.md").read_text(), (run.folder / "report.html").read_text()
    assert "root mean squared error" in card
    for told in ("Said against true", "held-out root mean squared error", "In its own words"):
        assert told in report


def test_a_run_in_use_answers_as_it_was_tuned(runs: dict[str, Path]) -> None:
    texts = ["rind curd whey leek kale moss we saw", "the we saw and"]
    multi, number = (af.run(runs[task]).load(threads=1) for task in ("multi", "number"))
    assert (multi.task, number.task, number.labels) == ("multi", "number", [])
    both, none = multi.classify(texts)
    assert {"green", "milk"} <= set(both["labels"])
    assert set(both["probabilities"]) == {"bread", "green", "milk"}
    assert all(both["probabilities"][label] > none["probabilities"][label] for label in ("green", "milk"))
    high, low = number.classify(texts)
    assert high["low"] < high["value"] < high["high"]
    assert high["value"] > low["value"]


def test_thresholds_and_intervals_lie_in_the_saved_head(runs: dict[str, Path]) -> None:
    multi, number = (load_run(runs[task], MACHINE).heads["classifier"] for task in ("multi", "number"))
    found = af.run(runs["multi"]).read("calibration.json")
    assert multi.thresholds.tolist() == pytest.approx(list(found["thresholds"].values()))
    assert float(multi.temperature) == pytest.approx(found["temperature"])
    assert float(number.reach) == pytest.approx(af.run(runs["number"]).read("calibration.json")["half_width"])
    assert 1 < float(number.centre) < 4


def called(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    capsys.readouterr()
    code = main([*map(str, words), "--json", "--threads", "1"])
    out = capsys.readouterr().out
    assert code == 0, out
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def test_predictions_say_labels_or_numbers_and_how_right_they_are(
    runs: dict[str, Path], data: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = called(capsys, "predict", runs["multi"], data["multi"], "--out", tmp_path / "labels.jsonl")
    assert told["row_f1"]["value"] > 0.6
    assert set(told["labels"]) == {"bread", "green", "milk"}
    line = json.loads((tmp_path / "labels.jsonl").read_text().splitlines()[0])
    assert set(line) == {"id", "labels", "probabilities"}
    bare = write_rows(tmp_path / "bare.jsonl", [{"text": row["text"]} for row in rows(5, 3)])
    assert "row_f1" not in called(capsys, "predict", runs["multi"], bare, "--out", tmp_path / "bare.csv")
    told = called(capsys, "predict", runs["number"], data["number"], "--out", tmp_path / "numbers.parquet")
    rmse = af.run(runs["number"]).evaluation["after"]["value"]
    assert told["rmse"]["value"] < 2 * rmse
    called(capsys, "predict", runs["number"], bare, "--out", tmp_path / "numbers.jsonl")
    line = json.loads((tmp_path / "numbers.jsonl").read_text().splitlines()[0])
    assert set(line) == {"id", "value", "low", "high"}


@pytest.mark.parametrize("task", ["multi", "number"])
def test_other_data_are_measured_beside_the_baselines(
    task: str, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = {"multi": "labels", "number": "label"}[task]
    fresh = write_rows(tmp_path / "fresh.jsonl", kept(rows(40, 9), key))
    result = called(capsys, "eval", runs[task], "--data", fresh)
    stored = af.run(runs[task]).evaluation
    assert result["metric"] == stored["metric"]
    assert set(result["baselines"]) == set(stored["baselines"])
    assert result["rows"] == 40
    assert result["rows_also_in_the_runs_data"] <= 3


def test_a_label_that_was_never_learned_is_named(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = write_rows(tmp_path / "odd.jsonl", [{"text": "a kale", "labels": ["greens"]}, {"text": "b", "labels": []}])
    assert main(["eval", str(runs["multi"]), "--data", str(odd), "--threads", "1"]) == 2
    assert "'greens'" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["multi", "number"])
def test_runs_of_one_kind_are_compared_row_by_row(
    task: str, runs: dict[str, Path], data: dict[str, Path], decoder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    settings = QUICK | {"head": {"layer": 0, "pooling": "first"}, "samples": 0}  # what all texts begin with
    worse = af.tune(data[task], model=str(decoder), train="head", out=tmp_path / "worse", **settings)
    result = called(capsys, "compare", runs[task], worse.folder)
    (pair,) = result["paired"]
    assert (pair["metric"], pair["rows"]) == (worse.evaluation["metric"], 30)
    assert pair["second"]["value"] == pytest.approx(worse.evaluation["after"]["value"], abs=1e-6)
    key = {"multi": "labels", "number": "label"}[task]
    fresh = write_rows(tmp_path / "fresh.jsonl", kept(rows(150, 7), key))
    (pair,) = called(capsys, "compare", runs[task], worse.folder, "--data", fresh)["paired"]
    assert pair["better"] == "no"
    other = called(capsys, "compare", runs["multi"], runs["number"])
    assert "no figure in common" in other["not_paired_because"]


@pytest.mark.parametrize("task", ["multi", "number"])
def test_few_rows_are_cross_validated_whatever_is_said(
    task: str, data: dict[str, Path], decoder: Path, tmp_path: Path
) -> None:
    few = write_rows(tmp_path / "few.jsonl", [json.loads(line) for line in data[task].read_text().splitlines()[:60]])
    settings = QUICK | {"held_out": None, "validation": None, "folds": 3, "samples": 0}
    run = af.tune(few, model=str(decoder), train="lora", out=tmp_path / "folds", steps=3, **settings)
    ledger = run.ledger
    assert run.evaluation["folds"] == 3
    assert run.evaluation["rows"] == ledger["read"] - sum(ledger["dropped"].values())
    assert "head on the frozen model" in run.evaluation["baselines"]
    assert all(value["value"] is not None for value in run.evaluation["baselines"].values())


@pytest.mark.parametrize("task", ["multi", "number"])
def test_a_run_that_was_killed_ends_like_one_that_was_not(task: str, data: dict[str, Path], tmp_path: Path) -> None:
    base = save_encoder(tmp_path / "base")
    settings = QUICK | {"train": "lora", "steps": 6, "checkpoint_every": 2, "samples": 0}
    made = [
        make_recipe({**settings, "data": str(data[task]), "model": str(base), "out": str(tmp_path / name)})
        for name in ("straight", "killed")
    ]
    straight = tune(made[0])
    with pytest.raises(KilledError):
        tune(made[1], reporter=KilledAt(5))
    killed = resume(tmp_path / "killed")
    left, right = weights_of(straight), weights_of(killed)
    assert left.keys() == right.keys()
    assert all(left[name].equal(right[name]) for name in left)
    assert straight.evaluation["after"] == killed.evaluation["after"]


def test_the_recipe_may_say_what_the_labels_are(data: dict[str, Path], decoder: Path, tmp_path: Path) -> None:
    settings = QUICK | {"samples": 0, "epochs": 2}
    number = af.tune(
        data["single"], model=str(decoder), train="head", out=tmp_path / "n", **settings | {"head": {"task": "number"}}
    )
    assert number.plan["settings"]["head.task"] == {"value": "number", "reason": "asked for"}
    assert number.evaluation["metric"] == "rmse"
    several = af.tune(
        data["single"], model=str(decoder), train="head", out=tmp_path / "m", **settings | {"head": {"task": "multi"}}
    )
    assert several.load(threads=1).labels == ["0", "1", "2", "3"]
    with pytest.raises(InputError, match="where one is expected"):
        af.tune(data["multi"], model=str(decoder), out=tmp_path / "s", **settings | {"head": {"task": "single"}})
    with pytest.raises(InputError, match="is no number"):
        af.tune(data["multi"], model=str(decoder), out=tmp_path / "s", **settings | {"head": {"task": "number"}})
    assert not (tmp_path / "s").exists()


def test_without_calibration_thresholds_stay_even_and_numbers_have_no_bounds(
    data: dict[str, Path], decoder: Path, tmp_path: Path
) -> None:
    settings = QUICK | {"samples": 0, "epochs": 2, "head": {"layer": -1, "calibrate": False}}
    for task in ("multi", "number"):
        run = af.tune(data[task], model=str(decoder), train="head", out=tmp_path / task, **settings)
        assert not (run.folder / "calibration.json").exists()
        head = load_run(run.folder, MACHINE).heads["classifier"]
        if task == "multi":
            assert head.thresholds.tolist() == [0.5, 0.5, 0.5]
        else:
            assert run.load(threads=1).classify("rind")[0]["low"] is None


@pytest.mark.parametrize(("task", "key"), [("multi", "labels"), ("number", "label")])
def test_answers_that_belong_to_other_rows_do_not_help(
    task: str, key: str, decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("affinage.reports.html.write_report", lambda folder: None)
    monkeypatch.setattr("affinage.tuning.probes.PARTS", ())
    claims = 0
    for seed in range(6):
        file = write_rows(tmp_path / f"{seed}.jsonl", kept(rows(150, seed, shuffled=True), key))
        settings = QUICK | {"samples": 0, "seed": seed}
        run = af.tune(file, model=str(decoder), train="head", out=tmp_path / f"run-{seed}", **settings)
        claims += run.evaluation["helped"] == "yes"
    assert claims <= 1


@pytest.mark.real
def test_medical_specialities_beat_what_is_usual(shared: Path, tmp_path: Path) -> None:
    with gzip.open(shared / "data/morfitt_fr/train.jsonl.gz", "rt") as lines:
        some = [json.loads(line) for _, line in zip(range(700), lines, strict=False)]
    file = write_rows(tmp_path / "abstracts.jsonl", [{"text": r["text"][:500], "labels": r["labels"]} for r in some])
    run = af.tune(
        file, model="tiny", train="head", out=tmp_path / "run", threads=1, samples=1, held_out=150, validation=100,
        too_long="truncate", head={"layer": -1},
    )  # fmt: skip
    result = run.evaluation
    assert result["metric"] == "row_f1"
    assert result["after"]["value"] > result["baselines"]["the most frequent labels"]["value"] + 0.02
    assert len(result["metrics"]["labels"]["after"]) == 12


@pytest.mark.real
def test_the_year_of_a_novel_is_told_better_than_by_the_mean(shared: Path, tmp_path: Path) -> None:
    made = []
    with gzip.open(shared / "data/novels_en/novels.jsonl.gz", "rt") as lines:
        for line in lines:
            novel = json.loads(line)
            for place in range(6):
                start = 20_000 * (place + 1)
                piece = " ".join(novel["text"][start : start + 600].split())
                made.append({"text": piece, "label": float(novel["year"]) + 0.5, "group": novel["id"]})
    file = write_rows(tmp_path / "pieces.jsonl", made)
    run = af.tune(
        file, model=str(shared / "models/stories260K"), train="head", out=tmp_path / "run", threads=1, samples=1,
        held_out=90, validation=80, too_long="truncate", head={"layer": -1}, columns={"group": "group"},
    )  # fmt: skip
    result = run.evaluation
    assert result["metric"] == "rmse"
    assert 5 < result["after"]["value"] < 40
    assert 1840 < run.load(threads=1).classify("It was a dark and stormy night.")[0]["value"] < 1930
    assert result["metrics"]["within_interval"]["after"]["value"] > 0.7
