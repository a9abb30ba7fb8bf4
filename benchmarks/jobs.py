"""The jobs: what is trained on which rows, written to one file that every system reads, so that all do the same work."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

LEARNING_RATE = {"full": 5e-4, "lora": 1e-3, "head": 1e-2}
EPOCHS = 3  # of the classifier
CLASSIFIER_ROWS = 32  # of one classifier batch


@dataclass(frozen=True, slots=True)
class Job:
    """What is measured. `figure` names the speed that is compared, `systems` who takes part (ours first).

    `wide`: on random weights of a larger shape with 32,000 pieces, as most models have, in a third of the steps.
    """

    name: str
    data: str
    train: str
    figure: str
    systems: tuple[str, ...]
    wide: bool = False


_SFT = ("affinage", "hf", "hf-packed", "hf-own", "trl")
_FASTEST = ("affinage", "hf", "trl")
_WIDE = {"hidden_size": 288, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 6}
_WIDE |= {"num_key_value_heads": 6, "head_dim": 48, "vocab_size": 32_000}
JOBS = (
    Job("sft-full", "instructions.jsonl", "full", "tokens/s", _SFT),
    Job("sft-lora", "instructions.jsonl", "lora", "tokens/s", _SFT),
    Job("sft-full-wide", "instructions.jsonl", "full", "tokens/s", _FASTEST, wide=True),
    Job("sft-lora-wide", "instructions.jsonl", "lora", "tokens/s", _FASTEST, wide=True),
    Job("classify-head", "tickets.jsonl", "head", f"rows/s over {EPOCHS} epochs", ("affinage", "hf", "hf-own")),
)


def write_work(job: Job, path: Path, *, model: str, steps: int, batch_tokens: int, threads: int) -> None:
    """Tokenise the bundled rows once and fix which rows form each step's batch."""
    from affinage.data.load import load_records
    from affinage.data.records import Labelled
    from affinage.models.loading import open_base
    from affinage.recipe import Recipe
    from affinage.tuning.choice import make_renderer

    source = resources.files("affinage").joinpath("examples", job.data)
    records = load_records((str(source),)).records
    base = open_base(model)
    renderer = make_renderer(Recipe(model=model, too_long="drop"), base)
    labels = sorted({record.label for record in records if isinstance(record, Labelled)})
    rows, _ = renderer.rows(records, {label: float(number) for number, label in enumerate(labels)} or None)
    work: dict[str, Any] = {
        "job": job.name,
        "train": job.train,
        "model": str(_wide_model(base, path.parent)) if job.wide else base.location,
        "threads": threads,
        "learning_rate": LEARNING_RATE[job.train],
        "pad_id": renderer.pad_id,
        "tokens": [row.tokens_T.tolist() for row in rows],
        "learned": [[int(weight > 0) for weight in row.weights_T] for row in rows],
        "targets": [int(row.target) for row in rows] if labels else [],
        "classes": len(labels),
        "width": base.width,
    }
    steps = max(4, steps // 3) if job.wide else steps
    work["groups"] = _row_groups(len(rows)) if labels else _token_groups(rows, steps, batch_tokens, renderer.pad_id)
    path.write_text(json.dumps(work), encoding="utf-8")


def _wide_model(base: Any, folder: Path) -> Path:
    """The base's family in a larger shape, random weights, its own tokenizer (whose ids all fit)."""
    import copy

    import torch
    from transformers import AutoModelForCausalLM

    from affinage.models.loading import quiet

    config = copy.deepcopy(base.config)
    for key, value in _WIDE.items():
        setattr(config, key, value)
    torch.manual_seed(0)
    target = folder / "wide"
    with quiet():
        AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(target)
    base.tokenizer.save_pretrained(target)
    return target


def _token_groups(rows: Any, steps: int, batch_tokens: int, pad_id: int) -> list[list[int]]:
    """Length-sorted, shuffled batches of at most `batch_tokens` padded tokens, as `affinage tune` forms them."""
    from affinage.data.batches import Batches

    batches = Batches(rows, budget=batch_tokens, pad_id=pad_id, epochs=1000.0, seed=0)
    endless = (group for epoch in itertools.count() for group in batches.groups(epoch))
    return list(itertools.islice(endless, steps))


def _row_groups(rows: int) -> list[list[int]]:
    """`EPOCHS` shuffled passes in batches of about `CLASSIFIER_ROWS`."""
    import numpy as np

    from affinage.models.encodings import EncodedBatches

    empty = np.zeros((rows, 1), np.float32)
    batches = EncodedBatches(empty, np.zeros(rows), batch_rows=CLASSIFIER_ROWS, epochs=float(EPOCHS), seed=0)
    return [group for epoch in range(EPOCHS) for group in batches.groups(epoch)]


def default_threads() -> int:
    """All cores that this process may use."""
    return len(os.sched_getaffinity(0))
