"""The job as affinage does it: its own model, objective, batches and loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from worker import Clock

from affinage.data.batches import Batch, Row, collate
from affinage.device import machine
from affinage.models.adapted import AdaptedModel
from affinage.models.encodings import encode_rows, encoded_batch
from affinage.models.heads import CLASSIFIER, ClassifierHead
from affinage.models.loading import load_network, open_base
from affinage.models.trainables import mark
from affinage.objectives.base import Objective
from affinage.objectives.classify import ClassifyObjective
from affinage.objectives.language import LanguageObjective
from affinage.recipe import HeadSettings, Recipe
from affinage.training.loop import train
from affinage.training.optimizer import make_optimizer, make_schedule


def run(system: str, work: dict[str, Any], clock: Clock) -> list[list[int]]:
    """Train as `work` says; the row numbers of each step's batch."""
    base = open_base(work["model"])
    network = load_network(base, machine("cpu", "float32", work["threads"]))
    model = AdaptedModel(network, causal=base.causal).requires_grad_(False)
    if work["classes"]:
        model.heads[CLASSIFIER] = _head(work)
    torch.manual_seed(0)
    mark(model, Recipe(train=work["train"]), work["train"])
    optimizer = make_optimizer(model, "adamw", learning_rate=work["learning_rate"], weight_decay=0.0)
    steps = len(work["groups"])
    schedule = make_schedule("constant", peak=work["learning_rate"], steps=steps, warmup=0.0, final=1.0)
    objective: Objective = ClassifyObjective() if work["classes"] else LanguageObjective()
    clock.begin()
    batches = _encoded(model, work) if work["classes"] else _padded(work)
    for step in train(model, objective, batches, optimizer, schedule, clip=1.0):
        clock.step()
        clock.losses.append(step.loss)
    return list(work["groups"])


def _head(work: dict[str, Any]) -> ClassifierHead:
    """A linear head that starts at zero, as the peers' does."""
    names = [str(number) for number in range(work["classes"])]
    head = ClassifierHead(names, work["width"], HeadSettings(), pooling="mean", layer=None)
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    return head


def _rows(work: dict[str, Any]) -> list[Row]:
    return [
        Row(np.array(tokens, np.int32), np.array(learned, np.float32))
        for tokens, learned in zip(work["tokens"], work["learned"], strict=True)
    ]


def _padded(work: dict[str, Any]) -> Iterator[Batch]:
    rows = _rows(work)
    for group in work["groups"]:
        yield collate([rows[number] for number in group], work["pad_id"])


def _encoded(model: AdaptedModel, work: dict[str, Any]) -> Iterator[Batch]:
    """The frozen network reads each text once; every epoch is made of the vectors."""
    vectors = encode_rows(
        model, _rows(work), pooling="mean", layer=None, budget=8192, pad_id=work["pad_id"]
    ).vectors  # fmt: skip
    encodings, targets = torch.from_numpy(vectors), torch.tensor(work["targets"])
    for group in work["groups"]:
        yield encoded_batch(encodings[group], targets[group])
