"""`affinage runs`, `eval`, `compare` and `merge` over finished runs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.cli.calling import Call, write_lines


def test_the_list_names_finished_and_stopped_runs(call: Call, classifier: Path, tmp_path: Path) -> None:
    shutil.copytree(classifier, tmp_path / "runs" / "mine")
    stopped = tmp_path / "runs" / "other"
    stopped.mkdir()
    (stopped / "recipe.yaml").write_text("model: tiny\ndata: [x.jsonl]\n")
    result = call("runs", "--json")
    states = {row["run"]: row["state"] for row in result.json["runs"]}
    assert states == {"runs/mine": "finished", "runs/other": "stopped"}
    lines = call("runs").out.splitlines()
    assert len(lines) == 3
    assert any("classify" in line and "accuracy" in line and "40" in line for line in lines)


def test_no_runs_is_no_error(call: Call) -> None:
    result = call("runs")
    assert result.code == 0
    assert "affinage tune DATA" in result.out


def test_show_and_plot_tell_what_there_is(call: Call, classifier: Path) -> None:
    shown = call("runs", "show", classifier)
    assert shown.code == 0
    for words in ("finished", "40 rows read", "weights moved", "report.html"):
        assert words in shown.out
    assert call("runs", "show", classifier, "--json").json["recipe"]["folds"] == 1
    assert call("runs", "plot", classifier, "--json").json["report"] == str(classifier / "report.html")


def test_deleting_needs_a_yes(call: Call, classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(classifier, copy)
    with open(os.devnull) as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        result = call("runs", "delete", copy)
    assert (result.code, copy.exists()) == (2, True)
    assert "--yes" in result.err
    assert call("runs", "delete", copy, "--yes").code == 0
    assert not copy.exists()


def test_a_run_that_another_starts_from_is_kept(call: Call, classifier: Path, tmp_path: Path) -> None:
    shutil.copytree(classifier, tmp_path / "below")
    (tmp_path / "above").mkdir()
    (tmp_path / "above" / "recipe.yaml").write_text("model: below\ndata: [x.jsonl]\n")
    assert call("runs", "delete", "below", "--yes").code == 2
    assert call("runs", "delete", "below", "above", "--yes").code == 0
    assert list(tmp_path.iterdir()) == []


def test_stored_evaluation(call: Call, writer: Path) -> None:
    result = call("eval", writer, "--json")
    stored = json.loads((writer / "evaluation.json").read_text())
    assert result.json["after"] == stored["after"]
    assert stored["sentence"] in result.err


def test_measuring_the_held_out_rows_again_gives_the_stored_figures(call: Call, writer: Path, questions: Path) -> None:
    from affinage.runs import open_run
    from affinage.tuning.prepare import prepare

    prepared = prepare(open_run(writer).recipe)
    rows = [{"prompt": r.prompt[0].content, "response": r.reference} for r in prepared.records_on("held_out")]
    write_lines(Path("held_out.jsonl"), rows)
    result = call("eval", writer, "--data", "held_out.jsonl", "--json")
    assert result.code == 0, result.err
    stored = json.loads((writer / "evaluation.json").read_text())
    for side in ("before", "after"):
        assert result.json[side]["value"] == pytest.approx(stored[side]["value"], rel=1e-6)
    assert result.json["rows_also_in_the_runs_data"] == len(rows)


def test_a_classifier_is_measured_beside_its_baselines(call: Call, classifier: Path, tickets: Path) -> None:
    result = call("eval", classifier, "--data", tickets, "--json")
    assert result.code == 0, result.err
    assert result.json["rows"] == 40
    assert "40 of them in the run's own data" in result.json["sentence"]
    assert "held out" not in result.json["sentence"]
    assert set(result.json["baselines"]) == {"majority class", "tf-idf + logistic regression"}
    write_lines(Path("odd.jsonl"), [{"text": "milk", "label": "wine"}, {"text": "oven", "label": "bread"}])
    odd = call("eval", classifier, "--data", "odd.jsonl")
    assert odd.code == 2
    assert "'wine'" in odd.err


def test_a_language_run_refuses_labelled_rows(call: Call, writer: Path, tickets: Path) -> None:
    result = call("eval", writer, "--data", tickets)
    assert result.code == 2
    assert "labelled rows" in result.err


def test_runs_on_the_same_split_are_compared_in_pairs(call: Call, writer: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(writer, other)
    result = call("compare", writer, other, "--out", "page.html", "--json")
    assert result.code == 0, result.err
    pair = result.json["paired"][0]
    assert pair["difference"]["value"] == 0
    assert pair["better"] == "not separable"
    assert pair["second"]["value"] == pytest.approx(result.json["runs"][0]["after"]["value"], rel=1e-6)
    assert set(result.json["samples"][0]["outputs"]) == {str(writer), str(other)}
    assert "cannot be told from" in (tmp_path / "page.html").read_text()


def test_unlike_runs_stand_side_by_side_only(call: Call, writer: Path, classifier: Path) -> None:
    result = call("compare", writer, classifier, "--json")
    assert result.code == 0, result.err
    assert result.json["paired"] == []
    assert "no figure in common" in result.json["not_paired_because"]


def test_merged_weights_say_the_same_without_the_run(call: Call, writer: Path, tmp_path: Path) -> None:
    result = call("merge", writer, "--out", "merged", "--json")
    assert result.code == 0, result.err
    assert result.json["difference"] <= result.json["tolerance"]
    import affinage

    prompt = [{"role": "user", "content": "Say 3"}]
    answers = [affinage.load(name).generate(prompt, max_tokens=8) for name in (writer, tmp_path / "merged")]
    assert answers[0] == answers[1]
    assert call("merge", writer, "--out", "merged").code == 2
