"""The guided journey: the bundled base meets an invented cheese cellar's documents, cards and tickets."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from affinage.errors import GateError, InputError, nearest
from affinage.files import write_json
from affinage.planning.plan import duration
from affinage.recipe import make_recipe
from affinage.runs import Run, free_name
from affinage.training.reporting import Reporter

EXAMPLES = Path(str(files("affinage") / "examples"))


@dataclass(frozen=True, slots=True)
class Chapter:
    """One part: what it is called, what it shows, and the recipe of its run."""

    name: str
    title: str
    says: str
    recipe: dict[str, Any]
    long: bool = False


CHAPTERS = (
    Chapter(
        "documents",
        "(a) continue pre-training on 26 documents",
        "The cellar's handbook and letters, as raw text. All weights move; eight documents are held out.",
        {"data": "documents", "objective": "pretrain", "train": "full", "held_out": 8, "validation": 2, "epochs": 4},
    ),
    Chapter(
        "cards",
        "(b) instruction-tune with LoRA",
        "A customer's message in, the house's card out (topic, cheese, order, wish).",
        {
            "data": "instructions.jsonl",
            "objective": "sft",
            "train": "lora",
            "held_out": 112,
            "validation": 30,
            "epochs": 2,
        },
    ),
    Chapter(
        "tickets",
        "(c) repurpose the frozen model as a classifier",
        "Each ticket goes through the frozen model once; a small head learns the topic from the encodings.",
        {"data": "tickets.jsonl", "objective": "classify", "train": "head", "held_out": 140},
    ),
    Chapter(
        "tickets-lora",
        "(c2) the same tickets, with LoRA inside the model too",
        "Head and adapter learn together; every pass goes through the model.",
        {"data": "tickets.jsonl", "objective": "classify", "train": "lora", "held_out": 140},
        long=True,
    ),
    Chapter(
        "stacked",
        "(b2) the cards again, starting from the run on the documents",
        "A run folder is a model: the next stage starts where the first ended.",
        {
            "data": "instructions.jsonl",
            "objective": "sft",
            "train": "last:2",
            "held_out": 112,
            "validation": 30,
            "model": "documents",
        },
        long=True,
    ),
)


def journey(
    out: Path | None, reporter: Reporter, *, only: str | None = None, full: bool = False, strict: bool = False
) -> dict[str, Any]:
    """Run the chapters, merge the LoRA run, and write one page about all of them.

    Args:
        only: the name of one chapter.
        full: also the chapters that take longer.
        strict: fail unless at least two chapters show a gain whose interval excludes zero.

    Raises:
        InputError: no such chapter.
        GateError: `strict` and too few chapters gained.
    """
    began = time.perf_counter()
    chosen = [chapter for chapter in CHAPTERS if only == chapter.name or (only is None and (full or not chapter.long))]
    if not chosen:
        names = [chapter.name for chapter in CHAPTERS]
        raise InputError(
            f"the demo has no part {only!r}.{nearest(only or '', names)}", fix=f"one of {', '.join(names)}"
        )
    below = out or free_name("demo", Path("runs"))
    distance = opening(reporter)
    runs = [_play(chapter, below, reporter) for chapter in chosen]
    merged = _merge(runs, below, reporter)
    page = _page(below, chosen, runs, distance, merged)
    seconds = time.perf_counter() - began
    result = {
        "runs": [str(run.folder) for run in runs],
        "distance": distance,
        "merged": merged,
        "seconds": round(seconds, 1),
    }
    write_json(below / "demo.json", {"schema": 1, **result, "report": str(page)})
    _close(chosen, runs, merged, page, seconds, reporter)
    helped = [run for run in runs if run.evaluation["helped"] == "yes"]
    if strict and len(helped) < min(2, len(runs)):
        raise GateError(f"only {len(helped)} of {len(runs)} chapters gained", fix="see the reports")
    return {**result, "report": str(page)}


def opening(reporter: Reporter) -> dict[str, float]:
    """The distance: how well the base foresees its own kind of text, and the shop's, in bits per byte."""
    from affinage.data.load import load_records
    from affinage.evaluation.forgetting import general_records
    from affinage.tuning.probe import bits_per_byte

    reporter.note(
        "The base `tiny` learned its English from old novels and textbooks; Hollowmere Cellars writes e-mails about cheese."
    )
    own = bits_per_byte("tiny", general_records("measure"))
    theirs = bits_per_byte("tiny", load_records([str(EXAMPLES / "documents")]).records)
    reporter.note(
        f"It needs {own:.2f} bits for a byte of its own kind of text and {theirs:.2f} for the cellar's: "
        "that is the distance to close.\n"
    )
    return {"own": own, "theirs": theirs}


def _play(chapter: Chapter, below: Path, reporter: Reporter) -> Run:
    from affinage.tuning.run import tune

    reporter.note(f"{chapter.title}\n{chapter.says}")
    data = str(EXAMPLES / chapter.recipe["data"])
    model = str(below / chapter.recipe["model"]) if "model" in chapter.recipe else "tiny"
    recipe = make_recipe({**chapter.recipe, "data": data, "model": model, "out": below / chapter.name})
    run = tune(recipe, reporter=reporter)
    reporter.note("")
    return run


def _merge(runs: list[Run], below: Path, reporter: Reporter) -> dict[str, Any] | None:
    found = next((run for run in runs if run.recipe.train == "lora"), None)
    if found is None:
        return None
    from affinage.device import machine
    from affinage.models.merging import merge_run

    report = merge_run(found.folder, below / "cards-merged", machine())
    reporter.note(f"(e) merged: the largest logit difference between merged and attached is {report.difference:.1e}\n")
    return {"folder": str(below / "cards-merged"), "difference": report.difference}


def _close(
    chapters: list[Chapter],
    runs: list[Run],
    merged: dict[str, Any] | None,
    page: Path,
    seconds: float,
    reporter: Reporter,
) -> None:
    rows = [(chapter.name, str(run.evaluation["sentence"])) for chapter, run in zip(chapters, runs, strict=True)]
    reporter.table("(d) before and after, on rows that were held out", rows)
    reporter.note(f"\nReport: {page}   ({duration(seconds)})\n")
    reporter.table(
        "Your own file next",
        [
            ("1", "affinage inspect YOUR.jsonl         what is in it, and what would be learned"),
            ("2", "affinage tune YOUR.jsonl --model M  the plan, the run, the proof"),
            ("3", "affinage chat runs/...              talk to the result"),
        ],
    )


def _page(
    below: Path, chapters: list[Chapter], runs: list[Run], distance: dict[str, float], merged: dict[str, Any] | None
) -> Path:
    from affinage.reports.journey import write_journey

    parts = [
        {"title": c.title, "says": c.says, "folder": run.folder.name} for c, run in zip(chapters, runs, strict=True)
    ]
    return write_journey(below, parts, distance, merged)
