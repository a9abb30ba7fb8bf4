"""One file for each job, that every system reads: the model's folder, the rows as token ids, which rows form each step,
and what is timed. Rows are drawn with a seed; each step takes them as a plain shuffle gives them, long beside short."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobs import CLASSES, NEW_TOKENS, RANK, SECOND_HEAD, SHAPES, TRAINING, Job, Shape
from operations import Count, Piece, heading, reading, training, writing

PROMPT, ANSWER, BLOCK, OPENING = (20, 200), (10, 300), 256, 30  # tokens; an opening is a prompt to write on from
SPECIAL = 4  # ids that no row holds: unknown, beginning, end, padding
PAD = 3
MICRO_TOKENS = 2048  # of one forward pass of ours
LEARNING_RATE = {"full": 5e-4, "lora": 1e-3, "head": 1e-2, "last:2": 5e-4, "none": 0.0}
PREFERENCE_RATE = 1e-4  # of comparisons, which few steps tell apart

Row = dict[str, Any]  # "tokens", and how many at the end are "learned" from


def write_work(job: Job, path: Path, *, model: Path, threads: int, quick: bool = False) -> dict[str, Any]:
    """Draw the rows and fix the steps."""
    if quick:
        job = _tiny(job)
    rng, shape = random.Random(job.name), SHAPES[job.shape]
    units = job.rows * job.steps
    rows, per_unit = _rows(job, shape, rng, units, quick=quick)
    new_tokens = 8 if quick else NEW_TOKENS
    rate = PREFERENCE_RATE if job.kind in ("dpo", "reward") else LEARNING_RATE[job.train]
    steps = [group for _ in range(max(job.epochs, default=1)) for group in _shuffled(units, job.rows, rng)]
    work = {
        "job": job.name, "kind": job.kind, "train": job.train, "rank": RANK, "model": str(model), "threads": threads,
        "learning_rate": rate, "pad_id": PAD, "micro_tokens": MICRO_TOKENS, "rows": rows,
        "targets": [[rng.randrange(CLASSES) for _ in rows] for _ in range(2)], "classes": CLASSES,
        "start": [rng.gauss(0, (shape.width + 1) ** -0.5) for _ in range(shape.width)],  # of a reward model's head
        "steps": steps, "per_epoch": job.steps, "new_tokens": new_tokens,
        "measures": _measures(job, shape, rows, steps, per_unit, new_tokens),
    }  # fmt: skip
    path.write_text(json.dumps(work), encoding="utf-8")
    return work


def save_model(shape: Shape, folder: Path) -> Path:
    """Random weights and a tokenizer with as many pieces."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    config = LlamaConfig(
        hidden_size=shape.width, intermediate_size=shape.inner, num_hidden_layers=shape.blocks,
        num_attention_heads=shape.heads, num_key_value_heads=shape.key_heads, vocab_size=shape.vocabulary,
        tie_word_embeddings=True, max_position_embeddings=2048, pad_token_id=PAD,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    words = {
        word: number
        for number, word in enumerate([*special.values(), *(f"w{n}" for n in range(shape.vocabulary - SPECIAL))])
    }
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.WhitespaceSplit(), decoders.WordPiece()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return folder


def _tiny(job: Job) -> Job:
    """As few as can be timed."""
    steps = max(2, job.warm_up + 1) if job.kind != "generate" else 1
    return replace(job, rows=min(job.rows, 2), steps=steps)


def _rows(job: Job, shape: Shape, rng: random.Random, units: int, *, quick: bool) -> tuple[list[Row], int]:
    """The rows, and how many form one unit of a step (a comparison has two)."""

    def drawn(count: int) -> list[int]:
        return [rng.randrange(SPECIAL, shape.vocabulary) for _ in range(count)]

    prompts, answers = ((20, 40), (10, 30)) if quick else (PROMPT, ANSWER)
    match job.kind:
        case "pretrain":
            return [{"tokens": drawn(BLOCK), "learned": BLOCK - 1} for _ in range(units)], 1
        case "generate":
            return [{"tokens": drawn(OPENING), "learned": 0} for _ in range(units)], 1
        case "classify":
            return [{"tokens": drawn(rng.randint(*prompts)), "learned": 0} for _ in range(units)], 1
    per_unit = 2 if job.kind in ("dpo", "reward") else 1
    rows = []
    for _ in range(units):
        prompt = drawn(rng.randint(*prompts))
        for _ in range(per_unit):
            learned = rng.randint(*answers)
            rows.append({"tokens": prompt + drawn(learned), "learned": learned})
    return rows, per_unit


def _shuffled(units: int, size: int, rng: random.Random) -> list[list[int]]:
    order = list(range(units))
    rng.shuffle(order)
    return [order[start : start + size] for start in range(0, units, size)]


def _measures(
    job: Job, shape: Shape, rows: list[Row], steps: list[list[int]], per_unit: int, new: int
) -> list[dict[str, Any]]:
    """What is timed: the steps from `first` to `last` (counted from 1; `first` 0: with what stands before them), or a
    `phase` that the systems time themselves; real tokens, and operations where they can be compared with the limit."""
    if job.kind == "generate":
        operations = writing(shape, (len(row["tokens"]) for row in rows), new)
        found = {"tokens": len(rows) * new, "operations": operations}
        return [{"name": name, "phase": name, **found} for name in ("sampled", "greedy")]

    def taken(first: int, last: int) -> list[Row]:
        units = [unit for group in steps[first:last] for unit in group]
        return [rows[unit * per_unit + part] for unit in units for part in range(per_unit)]

    def measure(name: str, first: int, epochs: int) -> dict[str, Any]:
        last = epochs * job.steps
        operations = _count(job, shape, taken(first, job.steps)).over(epochs)
        tokens = sum(len(row["tokens"]) for row in taken(first, last))
        return {"name": name, "first": first, "last": last, "tokens": tokens, "operations": operations}

    if not job.epochs:
        return [measure(TRAINING, job.warm_up, 1)]
    measures = [measure(f"{epochs} epoch{'s' * (epochs > 1)}", 0, epochs) for epochs in job.epochs]
    if job.kind == "classify":
        measures.append({**measures[-1], "name": SECOND_HEAD, "phase": SECOND_HEAD, "operations": None})
    return measures


def _count(job: Job, shape: Shape, rows: list[Row]) -> Count:
    """Operations of one pass."""
    if job.kind in ("dpo", "reward"):
        pieces = [
            piece
            for chosen, rejected in zip(rows[::2], rows[1::2], strict=True)
            for piece in _shared(job, chosen, rejected)
        ]
        count = training(shape, pieces, job.train, RANK)
        return count + Count(once=reading(shape, pieces)) if job.kind == "dpo" else count
    if job.kind == "classify":
        pieces = [Piece(len(row["tokens"]), wanted=len(row["tokens"])) for row in rows]
        return training(shape, pieces, job.train, RANK) + Count(again=heading(shape, len(rows)))
    pieces = [Piece(len(row["tokens"]), 0, row["learned"], row["learned"]) for row in rows]
    return training(shape, pieces, job.train, RANK)


def _shared(job: Job, chosen: Row, rejected: Row) -> list[Piece]:
    """A comparison: the prompt once, then both answers. A reward is read at an answer's last token."""
    prompt = len(chosen["tokens"]) - chosen["learned"]
    if job.kind == "reward":
        return [Piece(prompt), *(Piece(row["learned"], prompt, 1) for row in (chosen, rejected))]
    answers = (Piece(row["learned"], prompt, row["learned"] - 1, row["learned"]) for row in (chosen, rejected))
    return [Piece(prompt, 0, 1), *answers]
