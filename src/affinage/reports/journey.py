"""One page about the demo's runs: the distance at the start, each chapter's before and after, what was merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affinage.files import write_text
from affinage.reports.folder import read_run
from affinage.reports.html import comparison_of, environment_of_pages
from affinage.reports.plots import Bar, forest
from affinage.reports.words import duration, verdict_words

SHOWN = 2  # samples a chapter


def write_journey(
    folder: Path, chapters: Sequence[Mapping[str, Any]], distance: Mapping[str, float], merged: Mapping[str, Any] | None
) -> Path:
    """Write `folder/report.html` and return its path.

    Args:
        chapters: per chapter `title`, `says` and the `folder` of its run below `folder`.
        distance: bits per byte of the untouched base on its `own` kind of text and on `theirs`.
        merged: `folder` and logit `difference` of the merged model, if one was made.
    """
    bars = [
        Bar("its own kind of text", distance["own"], None, None, "before"),
        Bar("the cellar's documents", distance["theirs"], None, None, "after"),
    ]
    page = environment_of_pages().get_template("journey.html.j2")
    text = page.render(
        distance=distance,
        distance_plot=forest(bars, "bits per byte, untouched base (lower is better)"),
        chapters=[_chapter(folder, chapter) for chapter in chapters],
        merged=merged,
    )
    write_text(folder / "report.html", text)
    return folder / "report.html"


def _chapter(folder: Path, chapter: Mapping[str, Any]) -> dict[str, Any]:
    run = read_run(folder / chapter["folder"])
    training = run.evaluation.get("training") or {}
    return {
        "title": chapter["title"],
        "says": chapter["says"],
        "link": f"{chapter['folder']}/report.html",
        "sentence": run.evaluation["sentence"],
        "verdict": verdict_words(run.evaluation.get("helped")),
        "comparison": comparison_of(run.evaluation),
        "samples": run.samples[:SHOWN],
        "took": duration(training["seconds"]) if training.get("seconds") else "",
    }
