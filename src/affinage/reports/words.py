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
