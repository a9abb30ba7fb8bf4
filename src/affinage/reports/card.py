"""`README.md` of a run: its model card, in the layout of the model hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from affinage.files import write_text
from affinage.reports.folder import RunFiles, is_hub_name, read_run
from affinage.reports.words import DETAILS, METRICS, cost_rows, interval, number

CARD = "README.md"


def write_card(folder: Path) -> Path:
    """Write the model card of a run and return its path. The licence is left for its owner to state.

    Raises:
        RunError: the card cannot be written.
    """
    run = read_run(folder)
    parts = [_front(run), _title(run), _use(run), _data(run.ledger), _findings(run.findings), _results(run.evaluation)]
    parts += [_forgetting(run.evaluation), _cost(run.evaluation), _settings(run.plan), _limits(run)]
    path = folder / CARD
    write_text(path, "\n\n".join(part for part in parts if part) + "\n")
    return path


def _front(run: RunFiles) -> str:
    peft = _is_adapter(run)
    values: dict[str, Any] = {
        "library_name": "peft" if peft else "transformers",
        "pipeline_tag": "text-classification" if run.objective in ("classify", "reward") else "text-generation",
        "tags": ["affinage", *(tag for tag in (run.objective, run.train) if tag)],
    }
    base = str(run.recipe.get("model") or "")
    if is_hub_name(base):
        values = {"base_model": base, "base_model_relation": "adapter" if peft else "finetune", **values}
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---"


def _title(run: RunFiles) -> str:
    sentence = run.evaluation.get("sentence") or "This run has not been evaluated."
    moved, all_of = run.plan.get("trainable_parameters"), run.plan.get("parameters")
    size = f", {moved:,} of {all_of:,} weights trained" if moved and all_of else ""
    about = f"`{run.model}` adapted with affinage: objective `{run.objective}`, trainable `{run.train}`{size}."
    return f"# {run.folder.resolve().name}\n\n{about}\n\n**{_cell(sentence)}**"


def _use(run: RunFiles) -> str:
    name = run.folder.resolve().name
    lines = ["## How to use", "", "```sh"]
    if run.objective in ("classify", "reward"):
        out = "labels" if run.objective == "classify" else "rewards"
        return "\n".join([*lines, f"affinage predict {name} rows.jsonl --out {out}.jsonl", "```"])
    lines += [f"affinage chat {name}", "```", "", "```python"]
    if _is_adapter(run):
        lines += [
            "from peft import AutoPeftModelForCausalLM",
            "from transformers import AutoTokenizer",
            "",
            f'model = AutoPeftModelForCausalLM.from_pretrained("{name}/model")  # fetches its base by the name within',
        ]
    else:
        lines += [
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "",
            f'model = AutoModelForCausalLM.from_pretrained("{name}/model")',
        ]
    return "\n".join([*lines, f'tokenizer = AutoTokenizer.from_pretrained("{name}/model")', "```"])


def _data(ledger: Mapping[str, Any]) -> str:
    if not ledger.get("read"):
        return ""
    rows = [(name.replace("_", " "), ledger.get(name, 0)) for name in ("read", "trained", "validation", "held_out")]
    rows.append(("not reached", ledger.get("not_reached", 0)))
    rows += [(f"dropped: {reason}", count) for reason, count in (ledger.get("dropped") or {}).items()]
    rows += [(key.replace("_", " "), ledger.get(key, 0)) for key in ("tokens", "learned_tokens", "truncated_tokens")]
    return "## Data\n\n" + _table(["rows and tokens", "count"], [[label, f"{count:,}"] for label, count in rows])


def _findings(findings: Sequence[Mapping[str, Any]]) -> str:
    rows = [[f"`{found['code']}`", _cell(found["message"])] for found in findings if found["severity"] == "warning"]
    return f"## Warnings about the data\n\n{_table(['code', 'what was found'], rows)}" if rows else ""


def _results(evaluation: Mapping[str, Any]) -> str:
    if not evaluation.get("after"):
        return ""
    metrics = [
        [METRICS.get(name, name), interval(pair.get("before")), interval(pair.get("after"))]
        for name, pair in (evaluation.get("metrics") or {}).items()
        if name not in DETAILS
    ]
    metric = str(evaluation.get("metric", ""))
    baselines = [[name, interval(value)] for name, value in (evaluation.get("baselines") or {}).items()]
    folds = f", {evaluation['folds']}-fold cross-validation" if evaluation.get("folds") else ", held out"
    p = f", p = {evaluation['p']:.2g}" if evaluation.get("p") is not None else ""
    difference = interval(evaluation.get("difference"), signed=True)
    parts = [
        f"## Results\n\nOn {number(evaluation.get('rows'))} rows{folds}; values with their 95 % intervals.",
        _table(["figure", "before", "after"], metrics),
        f"Difference in {METRICS.get(metric, metric)} to {_cell(evaluation.get('against') or 'before')}: {difference}{p}.",
        _table(["cheaper alternative", METRICS.get(metric, metric)], baselines) if baselines else "",
        _labels(evaluation),
    ]
    return "\n\n".join(part for part in parts if part)


def _labels(evaluation: Mapping[str, Any]) -> str:
    """The table of single labels, where a row may carry several."""
    found = ((evaluation.get("metrics") or {}).get("labels") or {}).get("after") or []
    heads = ["label", "rows", "said", "precision", "recall", "F1", "average precision"]
    keys = ("precision", "recall", "f1", "average_precision")
    rows = [
        [str(row["label"]), number(row["rows"]), number(row["said"]), *(number(_rounded(row[key])) for key in keys)]
        for row in found
    ]
    return _table(heads, rows) if rows else ""


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def _forgetting(evaluation: Mapping[str, Any]) -> str:
    found = evaluation.get("forgetting")
    if not found:
        return ""
    return (
        "## Forgetting\n\nBits per byte of general text that the run did not learn from (lower is better): "
        f"before {interval(found['before'])}, after {interval(found['after'])}, "
        f"difference {interval(found['difference'], signed=True)}."
    )


def _cost(evaluation: Mapping[str, Any]) -> str:
    """What the training held and left, beside what full tuning would."""
    training = evaluation.get("training") or {}
    rows = cost_rows(training)
    if not rows:
        return ""
    heads = ["figure", "this run", *(["full tuning (computed)"] if training.get("full") else [])]
    return "## What training took\n\n" + _table(heads, [list(row[: len(heads)]) for row in rows])


def _settings(plan: Mapping[str, Any]) -> str:
    rows = [
        [f"`{key}`", number(entry.get("value")), str(entry.get("reason") or "")]
        for key, entry in (plan.get("settings") or {}).items()
    ]
    return "## Settings\n\n" + _table(["setting", "value", "why"], rows) if rows else ""


def _limits(run: RunFiles) -> str:
    evaluation = run.evaluation
    lines = [
        "- Only what stands under Results was measured: behaviour on other kinds of input, bias, safety and the truth"
        " of what the model says were not.",
        "- Held-out rows come from the same source as the training rows; rows from elsewhere may do worse.",
    ]
    if evaluation.get("helped") == "not separable":
        lines.append(
            "- The rows were too few, or the change too small, to tell the result from what it was held against."
        )
    if not evaluation.get("after"):
        lines.append("- No rows were held out, so nothing about this model is proven.")
    if not evaluation.get("forgetting"):
        lines.append("- What the model forgot of general text was not measured.")
    if run.ledger.get("truncated_tokens"):
        lines.append(f"- {run.ledger['truncated_tokens']:,} tokens were cut off from rows longer than the context.")
    lines.append("- No licence is stated here: the base's and the data's terms decide.")
    return "\n".join(["## What is not known", "", *lines])


def _is_adapter(run: RunFiles) -> bool:
    return (run.folder / "model" / "adapter_config.json").exists()


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    """Markdown in which text from data can break neither a table nor the page."""
    return " ".join(str(text).replace("|", "\\|").replace("<", "&lt;").split())
