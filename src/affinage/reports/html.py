"""`report.html`: one run on one self-contained page, made only from the files of its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affinage.files import write_text
from affinage.reports.folder import RunFiles, read_run
from affinage.reports.plots import Bar, forest, growth, losses, scatter, small
from affinage.reports.words import DETAILS, METRICS, cost_rows, duration, interval, number, size, verdict_words

if TYPE_CHECKING:
    from jinja2 import Environment

REPORT = "report.html"
MOST_LABELS = 14  # a larger confusion matrix is told as its most frequent mistakes
MOST_MISTAKES = 15
PANELS = {"learning_rate": "learning rate", "gradient_norm": "gradient norm", "tokens_per_second": "tokens per second"}


def write_report(folder: Path) -> Path:
    """Write the report of a run beside its files and return its path; a section whose file is missing is left out.

    Raises:
        RunError: the report cannot be written.
    """
    path = folder / REPORT
    write_text(path, render_report(read_run(folder)))
    return path


def render_report(run: RunFiles) -> str:
    """The page. Everything that comes from a file is escaped; it asks nothing of the network."""
    return (
        environment_of_pages()
        .get_template("report.html.j2")
        .render(
            name=run.folder.resolve().name,
            sentence=str(run.evaluation.get("sentence") or "This run has not been evaluated.").replace("->", "→"),
            verdict=verdict_words(run.evaluation.get("helped")),
            facts=_facts(run),
            comparison=comparison_of(run.evaluation),
            metrics=_metrics(run.evaluation),
            forgetting=_forgetting(run.evaluation),
            cost=cost_rows(run.evaluation.get("training") or {}),
            full_too=bool((run.evaluation.get("training") or {}).get("full")),
            training=_training(run),
            growth=_growth(run),
            confusions=_confusions(run.evaluation),
            label_tables=_label_tables(run.evaluation),
            scatters=_scatters(run.evaluation),
            samples=run.samples,
            ledger=_ledger(run.ledger),
            settings=_settings(run.plan),
            recipe=run.recipe_text,
            environment=_flat(run.environment),
            files=_files(run.folder),
        )
    )


def environment_of_pages() -> Environment:
    """Where the pages' templates lie, and how they are filled."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("affinage.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "interval": interval}
    return environment


def _facts(run: RunFiles) -> list[tuple[str, str]]:
    plan, training = run.plan, run.evaluation.get("training") or {}
    moved, all_of = plan.get("trainable_parameters"), plan.get("parameters")
    facts = [("base", run.model), ("objective", run.objective), ("what was trained", run.train)]
    if moved and all_of:
        facts.append(("weights that moved", f"{moved:,} of {all_of:,} ({100 * moved / all_of:.3g} %)"))
    if training.get("steps"):
        facts.append(("optimizer steps", f"{training['steps']:,} (best: {training.get('best_step') or '-'})"))
    if training.get("seconds"):
        facts.append(("took", duration(training["seconds"])))
    if training.get("peak_bytes"):
        facts.append(("most memory", size(training["peak_bytes"])))
    return [(label, value) for label, value in facts if value]


def _bar(name: str, value: Mapping[str, Any], role: str) -> Bar:
    return Bar(name, value["value"], value.get("low"), value.get("high"), role)


def comparison_of(evaluation: Mapping[str, Any]) -> dict[str, Any] | None:
    """The forest plot of before, after and baselines, and the table beneath it."""
    after = evaluation.get("after")
    if not after:
        return None
    named = [("before", evaluation.get("before"), "before"), ("after", after, "after")]
    named += [(name, value, "baseline") for name, value in (evaluation.get("baselines") or {}).items()]
    known = [(name, value, role) for name, value, role in named if value and value.get("value") is not None]
    metric = str(evaluation.get("metric", ""))
    better = "higher is better" if evaluation.get("higher_is_better") else "lower is better"
    label = f"{METRICS.get(metric, metric)} ({better})"
    return {
        "plot": forest([_bar(*item) for item in known], label) if known else "",
        "label": label,
        "rows": evaluation.get("rows"),
        "folds": evaluation.get("folds"),
        "against": evaluation.get("against") or "before",
        "difference": evaluation.get("difference") or {},
        "p": evaluation.get("p"),
    }


def _metrics(evaluation: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    pairs = (evaluation.get("metrics") or {}).items()
    return [
        (METRICS.get(name, name), pair.get("before"), pair.get("after")) for name, pair in pairs if name not in DETAILS
    ]


def _forgetting(evaluation: Mapping[str, Any]) -> dict[str, Any] | None:
    found = evaluation.get("forgetting")
    if not found:
        return None
    change = found["difference"]
    low, high = change.get("low"), change.get("high")
    words = "No change can be told from chance."
    if low is not None and low > 0:
        words = "General text costs more bits than before: something was forgotten."
    elif high is not None and high < 0:
        words = "General text costs fewer bits than before: nothing was forgotten."
    bars = [_bar(side, found[side], side) for side in ("before", "after") if found[side].get("value") is not None]
    plot = forest(bars, "bits per byte of general text (lower is better)") if bars else ""
    return {"words": words, "difference": change, "plot": plot}


def _training(run: RunFiles) -> dict[str, Any] | None:
    if not run.steps:
        return None
    steps = [row["step"] for row in run.steps]
    points = [(row["step"], row["validation"]["value"]) for row in run.validations if _known(row["validation"])]
    panels = []
    for key, title in PANELS.items():
        rows = [row for row in run.steps if row.get(key) is not None]
        if len(rows) > 1:
            panels.append(small(title, [row["step"] for row in rows], [row[key] for row in rows]))
    numbers = ((run.plan.get("settings") or {}).get("head.task") or {}).get("value") == "number"
    label = "squared error, in variances" if numbers else "loss, nats per unit learned"
    return {"plot": losses(steps, [row["loss"] for row in run.steps], points, label), "panels": panels}


def _known(value: Mapping[str, Any]) -> bool:
    return value.get("value") is not None


def _growth(run: RunFiles) -> str:
    metric = str(run.evaluation.get("metric") or "accuracy")
    if not any(metric in point for point in run.curve):
        metric = "accuracy"
    points = [(point["rows"], point[metric]) for point in run.curve if _known(point.get(metric) or {})]
    if len(points) < 2:
        return ""
    label = f"held-out {METRICS.get(metric, metric)}"
    return growth([(rows, at["value"], at.get("low"), at.get("high")) for rows, at in points], label)


def _confusions(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per side that is known: the matrix, or the most frequent mistakes where there are many labels."""
    sides = ((evaluation.get("metrics") or {}).get("confusion") or {}).items()
    return [{"side": side, **_confusion(found["labels"], found["counts"])} for side, found in sides if found]


def _confusion(labels: list[str], counts: list[list[int]]) -> dict[str, Any]:
    if len(labels) > MOST_LABELS:
        mistakes = [
            (count, labels[true], labels[said])
            for true, row in enumerate(counts)
            for said, count in enumerate(row)
            if true != said and count
        ]
        return {"labels": labels, "matrix": None, "mistakes": sorted(mistakes, reverse=True)[:MOST_MISTAKES]}
    matrix = [
        (label, [(count, round(100 * count / max(1, sum(row))), place == at) for at, count in enumerate(row)])
        for place, (label, row) in enumerate(zip(labels, counts, strict=True))
    ]
    return {"labels": labels, "matrix": matrix, "mistakes": []}


def _label_tables(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per side that is known: of each label how often it is true, said and right, the most frequent first."""
    sides = ((evaluation.get("metrics") or {}).get("labels") or {}).items()
    return [{"side": side, "rows": sorted(found, key=lambda row: -row["rows"])} for side, found in sides if found]


def _scatters(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per side that is known: numbers said against numbers that are true."""
    sides = ((evaluation.get("metrics") or {}).get("points") or {}).items()
    return [{"side": side, "plot": scatter(found["true"], found["said"])} for side, found in sides if found]


def _ledger(ledger: Mapping[str, Any]) -> dict[str, Any] | None:
    if not ledger.get("read"):
        return None
    parts = [(name.replace("_", " "), name, ledger.get(name, 0)) for name in ("trained", "validation", "held_out")]
    parts.append(("not reached", "not_reached", ledger.get("not_reached", 0)))
    parts += [(f"dropped: {reason}", "dropped", count) for reason, count in (ledger.get("dropped") or {}).items()]
    known = [(label, kind, count, 100 * count / ledger["read"]) for label, kind, count in parts if count]
    tokens = {key: ledger.get(key) for key in ("tokens", "learned_tokens", "truncated_tokens")}
    return {"read": ledger["read"], "parts": known, "tokens": tokens}


def _settings(plan: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (key, number(entry.get("value")), str(entry.get("reason") or ""))
        for key, entry in (plan.get("settings") or {}).items()
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key} ")
        elif key != "schema" and value not in (None, "", []):
            rows.append((f"{prefix}{key}".replace("_", " "), _plain(value)))
    return rows


def _plain(value: Any) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _files(folder: Path) -> list[tuple[str, str]]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    shown = [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    names = [(path.relative_to(folder).as_posix(), size(path.stat().st_size)) for path in shown]
    return [row for row in names if not row[0].startswith("checkpoints/") and row[0] != REPORT]
