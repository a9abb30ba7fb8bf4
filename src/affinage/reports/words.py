"""Numbers and verdicts as people read them, the same in reports and cards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METRICS = {
    "loss": "loss, nats per token",
    "perplexity": "perplexity",
    "bits_per_byte": "bits per byte",
    "token_accuracy": "token accuracy",
    "accuracy": "accuracy",
    "pair_loss": "loss, nats per pair",
    "margin": "margin between preferred and other answer",
    "chosen_reward": "reward of the preferred answer",
    "rejected_reward": "reward of the other answer",
    "macro_f1": "macro-F1",
    "log_loss": "log loss, nats per row",
    "ece": "calibration error",
    "row_f1": "F1 per row",
    "micro_f1": "micro-F1",
    "subset_accuracy": "rows with exactly the right labels",
    "hamming_loss": "share of wrong decisions (Hamming loss)",
    "average_precision": "average precision, mean over labels",
    "rmse": "root mean squared error",
    "mae": "mean absolute error",
    "r2": "variance explained (R²)",
    "pearson": "correlation (Pearson)",
    "spearman": "correlation of ranks (Spearman)",
    "within_interval": "rows within the answer's own interval",
}
DETAILS = ("confusion", "labels", "points")  # entries of `metrics` that are tables, not figures
VERDICTS = {"yes": "it helped", "no": "it did not help", "not separable": "not separable"}


def verdict_words(helped: Any) -> tuple[str, str]:
    """(style, words) of the verdict."""
    styles = {"yes": "good", "no": "bad"}
    return styles.get(str(helped), "open"), VERDICTS.get(str(helped), "not measured")


def number(value: Any) -> str:
    """Four significant digits; whole numbers and large ones with separators; anything else as it is."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def interval(value: Mapping[str, Any] | None, *, signed: bool = False) -> str:
    """`0.850 (0.790 to 0.896)`; without bounds, the value alone."""
    if not value or value.get("value") is None:
        return "–"
    sign, digits = "+" if signed else "", 1 if abs(value["value"]) >= 100 else 3
    texts = [
        f"{value[key]:{sign},.{digits}f}" if value.get(key) is not None else "" for key in ("value", "low", "high")
    ]
    return f"{texts[0]} ({texts[1]} to {texts[2]})" if texts[1] and texts[2] else texts[0]


def duration(seconds: float) -> str:
    """`48 s`, `12 min`, `3.4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes in the unit that fits."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def took_words(training: Mapping[str, Any]) -> str:
    """`373,760 weights (7.89 % of the base's), 0.53 s a step, 150.2 MiB more memory than before`."""
    moved = training.get("trainable_parameters")
    if not moved:
        return ""
    parts = [f"{moved:,} weights ({100 * moved / max(1, training['parameters']):.3g} % of the base's)"]
    if training.get("seconds_per_step") is not None:
        parts.append(f"{training['seconds_per_step']:.3g} s a step")
    if training.get("memory_bytes") is not None:
        parts.append(f"{size(training['memory_bytes'])} more memory than before")
    return ", ".join(parts)


def cost_rows(training: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(figure, of this run, of full tuning): what a training held and left. Empty where nothing of it was kept."""
    if not training.get("trainable_parameters"):
        return []
    full = training.get("full") or {}
    seconds, memory = training.get("seconds_per_step"), training.get("memory_bytes")
    moved = [number(part.get("trainable_parameters")) for part in (training, full)]
    rows = [("weights that train", moved[0], moved[1])]
    for label, key in (("state of the optimizer", "optimizer_bytes"), ("saved weights", "saved_bytes")):
        rows.append((label, size(training[key]), size(full[key]) if full else "–"))
    if memory is not None:
        rows.append(("most memory while training, above what was held before", size(memory), "–"))
    if seconds is not None:
        rows.append(("a step, on average", f"{seconds:.3g} s", "–"))
    return rows


def savings(training: Mapping[str, Any]) -> str:
    """`optimizer 2.9 MiB instead of 36.1 MiB, on disk ...`; empty for full tuning, which has nothing to save."""
    full = training.get("full")
    if not full:
        return ""
    parts = [
        _instead("optimizer", training["optimizer_bytes"], full["optimizer_bytes"]),
        _instead("on disk", training["saved_bytes"], full["saved_bytes"]),
    ]
    return f"{', '.join(parts)} (full tuning, computed)"


def _instead(what: str, ours: int, full: int) -> str:
    alike = abs(ours - full) <= full / 100  # what stands in a file beside its numbers is not computed
    return f"{what} {size(ours)} {'either way' if alike else f'instead of {size(full)}'}"
