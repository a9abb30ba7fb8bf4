"""The jobs: on which shape, by whom, how many steps, and what was promised."""

from __future__ import annotations

import os
from dataclasses import dataclass

AFFINAGE, HF, HF_PACKED, TRL, TRL_REFERENCE = "affinage", "hf", "hf-packed", "trl", "trl-reference"
SAYS = {
    AFFINAGE: "affinage",
    HF: "HF Trainer, padded",
    HF_PACKED: "HF Trainer, packed",
    TRL: "TRL",
    TRL_REFERENCE: "TRL, reference first",
    "transformers": "transformers' generate",
}
RANK = 8  # of every LoRA
CLASSES = 8
NEW_TOKENS = 128
TRAINING, SECOND_HEAD = "training", "another head"  # what is timed


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama with tied embeddings."""

    width: int
    blocks: int
    heads: int
    key_heads: int
    inner: int
    vocabulary: int

    @property
    def head_width(self) -> int:
        return self.width // self.heads


SHAPES = {
    "S": Shape(192, 4, 4, 4, 512, 32_000),
    "M": Shape(288, 6, 6, 6, 768, 32_000),
    "N": Shape(448, 14, 7, 7, 1216, 32_000),
    "L": Shape(576, 30, 9, 3, 1536, 49_152),
}


@dataclass(frozen=True, slots=True)
class Goal:
    """`measure` is to be `wanted` times as fast as `against`."""

    against: str
    measure: str
    wanted: float


@dataclass(frozen=True, slots=True)
class Job:
    """What is measured.

    Attributes:
        kind: sft, pretrain, classify, dpo, reward or generate.
        systems: who takes part, ours first.
        rows: rows (comparisons, prompts) of one step.
        steps: steps of one pass.
        epochs: the passes after which the time is taken; empty: the steps of one pass after `warm_up` are timed.
        warm_up: steps at the start that are left out.
    """

    name: str
    kind: str
    systems: tuple[str, ...]
    shape: str = "M"
    train: str = "lora"
    rows: int = 8
    steps: int = 3
    epochs: tuple[int, ...] = ()
    warm_up: int = 1
    goals: tuple[Goal, ...] = ()


_ALL = (AFFINAGE, HF, HF_PACKED, TRL)


def _times(measure: str, **wanted: float) -> tuple[Goal, ...]:
    return tuple(Goal(name.replace("_", "-"), measure, times) for name, times in wanted.items())


JOBS = (
    Job("sft-full", "sft", _ALL, train="full", goals=_times(TRAINING, trl=6, hf_packed=2.2)),
    Job("sft-lora", "sft", _ALL, goals=_times(TRAINING, trl=7, hf_packed=2.3)),
    Job("sft-lora-L", "sft", _ALL, shape="L", rows=4, steps=2, goals=_times(TRAINING, trl=4.5, hf_packed=1.6)),
    Job("pretrain", "pretrain", (AFFINAGE, HF), train="full", steps=4, goals=_times(TRAINING, hf=1.25)),
    Job("last-2", "sft", (AFFINAGE, HF, HF_PACKED), train="last:2", steps=2, epochs=(1, 3), warm_up=0),
    Job(
        "classify", "classify", (AFFINAGE, HF), train="head", steps=8, epochs=(1, 3, 10), warm_up=0,
        goals=(*_times("10 epochs", hf=18), *_times(SECOND_HEAD, hf=100)),
    ),
    Job(
        "dpo", "dpo", (AFFINAGE, TRL, TRL_REFERENCE), rows=4, steps=2, epochs=(1, 3), warm_up=0,
        goals=(*_times("1 epoch", trl=9), *_times("3 epochs", trl=14)),
    ),
    Job("reward", "reward", (AFFINAGE, TRL), rows=4, goals=_times(TRAINING, trl=8)),
    Job(
        "generate", "generate", (AFFINAGE, "transformers"), train="none", rows=16, steps=1, warm_up=0,
        goals=(*_times("sampled", transformers=3), *_times("greedy", transformers=3)),
    ),
)  # fmt: skip


def default_threads() -> int:
    """All cores that this process may use."""
    return len(os.sched_getaffinity(0))
