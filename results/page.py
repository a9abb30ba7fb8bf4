"""Write docs/results.md from the committed evaluation files, and from nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from commands import HERE, entries, titles
from inspections import KEPT as INSPECTED
from inspections import inspections
from lora_page import section as lora_section
from lora_ranks import KEPT as RANKS
from lora_ranks import read_kept

PAGE = HERE.parent / "docs" / "results.md"
INTRODUCTION = """# Results on real data

Written by `make results` from the files in `results/evaluations`, which `python results/run.py` makes anew: each is the
evaluation, plan and ledger that one `affinage tune` left. Every run is cut short by its number of steps, so that it
takes a few minutes on one core; the figures show what a small base and a short run give, not the best that can be had.

Figures in brackets are 95 % intervals. *Change* is the paired difference on the same held-out rows, and *helped* is its
verdict. *General text* is the bundled English text, in bits per byte before and after: what the run forgot.
Bits per byte can be compared between bases, losses (nats per token) only within one.
"""
INSPECTION = """## What `inspect` finds in real data

Written from the files in `results/inspections`, which `python results/inspections.py` makes anew. The model stories260K has
read children's stories and nothing else, so its own stories should be *in*, medical abstracts and French *far*.

*Tokens a word* has the same for general English text in brackets. The *distance* is the verdict and its ratio: the base's
bits per byte over those of an n-gram that has read 20 kB of the same data (*in* below 0.8, *far* above 1.2).
*Findings* are [codes](findings/index.md) with the rows that they concern: in bold what stops a run, in italics mere notes.
`refused` under preferences: no objective learns from them yet; under documents: one table among them is not UTF-8.
"""
_LANGUAGE = 0.05  # share of the rows from which a language is named
Kept = dict[str, Any]


def page(folder: Path = HERE / "evaluations", inspected: Path = INSPECTED, ranks: Path = RANKS) -> str:
    """The whole page, of the runs kept in `folder`, the inspections in `inspected` and what `ranks` says of LoRA."""
    parts = [INTRODUCTION]
    for section, title in titles().items():
        names = [entry.name for entry in entries() if entry.section == section]
        kept = {name: _read(folder / f"{name}.json") for name in names if (folder / f"{name}.json").exists()}
        if kept:
            language = next(iter(kept.values()))["plan"]["objective"] != "classify"
            table = _language_table(kept) if language else _class_table(kept)
            parts.append(f"## {title}\n\n{table}\n{_commands(kept)}")
    if lora := lora_section(read_kept(ranks)):
        parts.append(lora)
    found = {one.name: _read(file) for one in inspections() if (file := inspected / f"{one.name}.json").exists()}
    if found:
        commands = "\n".join(one["command"] for one in found.values())
        parts.append(f"{INSPECTION}\n{_inspection_table(found)}\n```sh\n{commands}\n```\n")
    return "\n".join(parts)


def _inspection_table(found: dict[str, Kept]) -> str:
    heads = ("inspection", "rows", "language", "tokens a word", "distance", "findings", "took")
    lines = [_row(heads), _row(["---", "---", "---", "---:", "---", "---", "---:"])]
    for name, one in found.items():
        distance = one["distance"]
        spoken = [f"{code} {100 * share:.0f} %" for code, share in one["languages"].items() if share >= _LANGUAGE]
        cells = [
            name,
            _rows(one),
            ", ".join(spoken),
            f"{distance['tokens_per_word']:.2f} ({distance['general_tokens_per_word']:.2f})" if distance else "",
            f"{distance['verdict']}, {distance['ratio']:.2f}" if distance else "",
            "<br>".join(map(_finding, one["findings"])) or "none",
            f"{one['seconds']:.0f} s",
        ]
        lines.append(_row(cells))
    return "\n".join(lines) + "\n"


def _rows(one: Kept) -> str:
    """Rows by kind, labels, and what was left out."""
    labels = f", {one['label_count']} labels" if one["label_count"] else ""
    dropped = sum(one["ledger"]["dropped"].values())
    return f"{one['ledger']['read']:,} {one['kind']}{labels}" + (f"; {dropped:,} left out" if dropped else "")


def _finding(found: dict[str, Any]) -> str:
    count = "" if found["code"] == "refused" else f" {found['count']:,}"
    mark = {"error": "**", "warning": "", "note": "*"}[found["severity"]]
    return f"{mark}[{found['code']}](findings/{found['code']}.md){count}{mark}"


def _read(file: Path) -> Kept:
    kept: Kept = json.loads(file.read_text(encoding="utf-8"))
    return kept


def _language_table(kept: dict[str, Kept]) -> str:
    heads = (
        "run",
        "trained on",
        "bits per byte",
        "loss",
        "change",
        "other ways, loss",
        "helped",
        "general text",
        "took",
    )
    lines = [_row(heads), _row(["---", "---", *["---:"] * 4, "---", "---:", "---:"])]
    for name, one in kept.items():
        evaluation = one["evaluation"]
        cells = [
            _named(name, one),
            _trained_on(one),
            _arrow(evaluation["metrics"]["bits_per_byte"]),
            _arrow(evaluation["metrics"]["loss"]),
            _signed(evaluation["difference"]),
            "<br>".join(f"{way}: {figure['value']:.3f}" for way, figure in evaluation["baselines"].items()),
            str(evaluation["helped"]),
            _forgotten(evaluation),
            _took(one),
        ]
        lines.append(_row(cells))
    return "\n".join(lines) + "\n"


def _class_table(kept: dict[str, Kept]) -> str:
    heads = (
        "run",
        "trained on",
        "measured on",
        "accuracy",
        "other ways",
        "change against the best of them",
        "macro F1",
        "helped",
        "took",
    )
    lines = [_row(heads), _row(["---", "---", "---", *["---:"] * 4, "---", "---:"])]
    for name, one in kept.items():
        lines.append(
            _row([_named(name, one), _trained_on(one), *_class_cells("held out", one["evaluation"]), _took(one)])
        )
        if one["test"]:
            lines.append(_row(["", "", *_class_cells("the set's own test file", one["test"]), ""]))
    return "\n".join(lines) + "\n"


def _class_cells(where: str, evaluation: dict[str, Any]) -> list[str]:
    seen = evaluation.get("rows_also_in_the_runs_data")
    known = f" ({seen:,} of them also among the run's rows)" if seen else ""
    return [
        f"{where}, {evaluation['rows']:,} rows{known}",
        _bounded(evaluation["after"]),
        "<br>".join(f"{way}: {figure['value']:.3f}" for way, figure in evaluation["baselines"].items()),
        f"{_signed(evaluation['difference'])}, {evaluation['against']}",
        f"{evaluation['metrics']['macro_f1']['after']['value']:.3f}",
        str(evaluation["helped"]),
    ]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _named(name: str, one: Kept) -> str:
    return f"{name} ({one['plan']['train']})"


def _trained_on(one: Kept) -> str:
    """Rows, and how much of them: the limit that was set."""
    ledger, settings = one["ledger"], one["plan"]["settings"]
    rows = f"{ledger['trained']:,} of {ledger['read']:,} rows"
    if one["plan"]["train"] == "head":
        return f"{rows}, encoded once"
    steps = one["evaluation"]["training"]["steps"]
    stopped = ", stopped early" if one["evaluation"]["training"]["ended"] == "early" else ""
    return f"{rows}; {steps:,} steps of {settings['batch_tokens']['value']:,} tokens{stopped}"


def _arrow(pair: dict[str, Any]) -> str:
    return f"{pair['before']['value']:.3f} → **{pair['after']['value']:.3f}**"


def _bounded(interval: dict[str, Any]) -> str:
    return f"**{interval['value']:.3f}** ({interval['low']:.3f} to {interval['high']:.3f})"


def _signed(interval: dict[str, Any]) -> str:
    return f"{interval['value']:+.3f} ({interval['low']:+.3f} to {interval['high']:+.3f})"


def _forgotten(evaluation: dict[str, Any]) -> str:
    lost = evaluation["forgetting"]
    if lost is None:
        return ""
    return f"{lost['before']['value']:.3f} → {lost['after']['value']:.3f} ({lost['difference']['value']:+.3f})"


def _took(one: Kept) -> str:
    training = one["evaluation"]["training"]
    return f"{training['seconds']:.0f} s, {training['peak_bytes'] / 2**30:.1f} GiB"


def _commands(kept: dict[str, Kept]) -> str:
    lines = dict.fromkeys(command for one in kept.values() for command in one["commands"])
    return "```sh\n" + "\n".join(lines) + "\n```\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(HERE.parent)}")
