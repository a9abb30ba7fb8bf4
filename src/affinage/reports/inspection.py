"""`affinage inspect --report`: what was found in a person's data on one self-contained page."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affinage.files import write_text
from affinage.reports.html import environment_of_pages
from affinage.reports.plots import Bar, forest, growth, histogram

MOST_TOKENS = 400  # of one row
MOST_LINES = 30  # of a table

_LEDGER = ("trained", "not_reached", "validation", "held_out", "dropped")
_SAYS = {"not_reached": "not reached", "held_out": "held out", "trained": "to train on"}


def write_inspection(path: Path, found: Mapping[str, Any]) -> Path:
    """Write the page of one inspection.

    Args:
        found: what `affinage inspect --json` prints.

    Raises:
        RunError: the page cannot be written.
    """
    page = render_inspection(found)
    with contextlib.suppress(OSError):  # what is in the way is told by the writing
        path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)
    return path


def render_inspection(found: Mapping[str, Any]) -> str:
    """The page. Every text that comes from the data is escaped."""
    findings = found["findings"]
    worst = findings[0]["severity"] if findings else ""
    badge = {"error": ("bad", "tune would refuse"), "warning": ("open", "look at the warnings")}
    names = list(found["layouts"])
    return (
        environment_of_pages()
        .get_template("inspection.html.j2")
        .render(
            name=Path(names[0]).name if names else "data",
            badge=badge.get(worst, ("good", "fit to train on")),
            headline=_headline(found),
            facts=_facts(found),
            findings=[{**finding, "places": _places(finding["examples"])} for finding in findings],
            ledger=_ledger(found["ledger"]),
            sources=[*(f"{uri}: {layout}" for uri, layout in found["layouts"].items()), *found.get("notes", ())],
            distance=_distance(found.get("distance")),
            lengths=_lengths(found.get("tokens")),
            coverage=_coverage(found.get("coverage")),
            tables=_tables(found),
            rows=[_row(row) for row in found["rows"]],
            files=", ".join(names) or "no readable file",
        )
    )


def _headline(found: Mapping[str, Any]) -> str:
    counts = {level: sum(f["severity"] == level for f in found["findings"]) for level in ("error", "warning", "note")}
    said = ", ".join(f"{count} {level}{'s' * (count > 1)}" for level, count in counts.items() if count)
    return f"{found['ledger']['read']:,} {found['kind'] or 'unreadable'} rows: {said or 'nothing to remark'}"


def _facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    tokens = found.get("tokens") or {}
    facts = [("base", str(found["model"])), ("objective", str(found["objective"] or "none"))]
    if tokens:
        learned = 100 * tokens["learned"] / max(1, tokens["total"])
        what = "the labels" if found["kind"] == "labelled" else f"{tokens['learned']:,} ({learned:.1f} %)"
        facts += [("tokens", f"{tokens['total']:,}"), ("learned from", what)]
        facts.append(("above the context", f"{100 * tokens['above_context_share']:.1f} % of {tokens['context']:,}"))
    if found.get("distance"):
        facts.append(("for this base", found["distance"]["verdict"]))
    return facts


def _places(examples: Sequence[Mapping[str, Any]]) -> str:
    by_file: dict[str, list[str]] = {}
    for where in examples:
        by_file.setdefault(where["file"], []).extend([where["locator"]] if where["locator"] else [])
    return ", ".join(f"{file}:{', '.join(places)}" if places else file for file, places in by_file.items())


def _ledger(ledger: Mapping[str, Any]) -> dict[str, Any]:
    counts = {**ledger, "dropped": sum(ledger["dropped"].values())}
    total = max(1, ledger["read"])
    parts = [
        (_SAYS.get(kind, kind), kind, counts[kind], 100 * counts[kind] / total) for kind in _LEDGER if counts[kind]
    ]
    parts += [
        (f"dropped: {reason}", "dropped", count, 100 * count / total) for reason, count in ledger["dropped"].items()
    ]
    return {"parts": [part for part in parts if part[0] != "dropped"]}


def _distance(distance: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not distance:
        return None
    bars = [
        Bar("these data: the base", distance["bits_per_byte"], None, None, "after"),
        Bar("these data: n-gram", distance["own_bits_per_byte"], None, None, "baseline"),
        Bar("general text: the base", distance["general_bits_per_byte"], None, None, "before"),
        Bar("general text: n-gram", distance["general_own_bits_per_byte"], None, None, "baseline"),
    ]
    foreign = [
        {"place": _places([row]), "bits": row["bits_per_byte"], "text": row["text"]} for row in distance["foreign"]
    ]
    return {**distance, "plot": forest(bars, "bits per byte (lower is better)"), "foreign": foreign}


def _lengths(tokens: Mapping[str, Any] | None) -> dict[str, str] | None:
    if not tokens or not tokens.get("histogram"):
        return None
    bins = [(part["from"], part["to"] + 1, part["rows"]) for part in tokens["histogram"]]
    words = (
        f"{tokens['min']:,} to {tokens['max']:,} tokens, median {tokens['median']:,.0f}, "
        f"95 % up to {tokens['p95']:,.0f}; the context is {tokens['context']:,}."
    )
    return {"plot": histogram(bins, "tokens of a row", "rows"), "words": words}


def _coverage(coverage: Mapping[str, Any] | None) -> dict[str, str] | None:
    if not coverage:
        return None
    points = [(point["words"], 100 * point["covered"], None, None) for point in coverage["points"]]
    return {"plot": growth(points, "known words, %", across="words read"), "words": coverage["line"]}


def _tables(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    tables: list[dict[str, Any]] = []
    if languages := found.get("languages"):
        tables.append({"title": "Languages", "rows": [(name, None, 100 * share) for name, share in languages.items()]})
    if labels := found.get("labels"):
        rows = [(str(entry["label"]), entry["rows"], 100 * entry["share"]) for entry in labels[:MOST_LINES]]
        count = found.get("label_count", 0)
        title = f"Labels: the {len(rows)} most frequent of {count:,}" if count > len(rows) else "Labels"
        tables.append({"title": title, "rows": rows})
    return tables


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = [(token["text"].replace("\n", "↵\n"), token["learned"]) for token in row["tokens"][:MOST_TOKENS]]
    return {**row, "place": _places([row]), "tokens": shown, "more": max(0, len(row["tokens"]) - MOST_TOKENS)}
