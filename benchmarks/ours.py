"""The jobs as affinage does them: its own model, objectives, batches and loop, as `affinage tune` puts them together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import peft  # noqa: F401 - what is imported late otherwise, is imported before memory is read
import torch
import transformers.models.llama.modeling_llama  # noqa: F401
from clock import Clock

from affinage.data.batches import Batch, Batches, Row
from affinage.data.groups import RANK, Group, GroupBatches
from affinage.device import machine
from affinage.generation.engine import LocalGenerator
from affinage.generation.sampling import Sampling
from affinage.models.adapted import AdaptedModel
from affinage.models.encodings import EncodedBatches, encode_rows
from affinage.models.heads import CLASSIFIER, ClassifierHead
from affinage.models.loading import Base, load_network, open_base
from affinage.models.reference import reference_logprobs
from affinage.models.reward_head import REWARD, RewardHead
from affinage.models.trainables import mark
from affinage.objectives.base import Objective
from affinage.objectives.classify import ClassifyObjective
from affinage.objectives.language import LanguageObjective
from affinage.objectives.preference import REFERENCE, DPOObjective
from affinage.objectives.reward import RewardObjective
from affinage.recipe import HeadSettings, Recipe
from affinage.store.arrays import ArrayCache
from affinage.training.loop import train
from affinage.training.optimizer import make_optimizer, make_schedule

Work = dict[str, Any]


def run(system: str, work: Work, clock: Clock) -> None:
    """Do the job."""
    base = open_base(work["model"])
    network = load_network(base, machine("cpu", "float32", work["threads"]))
    model = AdaptedModel(network, causal=True).requires_grad_(False)
    JOBS[work["kind"]](model, base, work, clock)


def learn(model: AdaptedModel, base: Base, work: Work, clock: Clock) -> None:
    """sft and pretrain; with `last:N` the blocks below are run once for each text."""
    _mark(model, work)
    batches = Batches(_rows(work), budget=work["micro_tokens"], pad_id=work["pad_id"], epochs=1.0, seed=0)
    cut = ([batches.make(part) for part in batches.split(numbers)] for numbers in work["steps"])
    clock.begin()
    bottom = model.freeze_bottom(ArrayCache()) if work["train"].startswith("last") else None
    _train(model, LanguageObjective(), cut, work, clock, bottom.flush if bottom else None)


def classify(model: AdaptedModel, base: Base, work: Work, clock: Clock) -> None:
    """The frozen network reads each text once; every epoch, and another head, is made of the vectors."""
    clock.begin()
    _head(model, base, work, clock, work["targets"][0])
    again, began = Clock.like(clock), time.time()
    _head(model, base, work, again, work["targets"][1])
    clock.phases["another head"] = time.time() - began


def dpo(model: AdaptedModel, base: Base, work: Work, clock: Clock) -> None:
    """The reference's log-probabilities first, then the policy; prompts are shared in both."""
    _mark(model, work)
    groups = _groups(work)
    clock.begin()
    found = reference_logprobs(
        model, groups, budget=2 * work["micro_tokens"], pad_id=work["pad_id"], cache=ArrayCache()
    )
    known = [
        Group(group.rows, {**group.values, REFERENCE: values.tolist()})
        for group, values in zip(groups, found.values, strict=True)
    ]
    _train(model, DPOObjective(), _in_groups(known, work), work, clock)


def reward(model: AdaptedModel, base: Base, work: Work, clock: Clock) -> None:
    """A head that starts where the peer's does."""
    head = RewardHead(base.width)
    with torch.no_grad():
        head.dense.weight.copy_(torch.tensor(work["start"])[None])
    model.heads[REWARD] = head
    _mark(model, work)
    clock.begin()
    _train(model, RewardObjective(), _in_groups(_groups(work), work), work, clock)


def generate(model: AdaptedModel, base: Base, work: Work, clock: Clock) -> None:
    """All prompts at once, nothing stops an answer early."""
    writer = LocalGenerator(model, base.tokenizer, stop_ids=(), pad_id=work["pad_id"], context=base.context)
    prompts, new = [row["tokens"] for row in work["rows"]], work["new_tokens"]
    writer.generate(prompts, Sampling(max_tokens=4))
    clock.begin()
    for name, temperature in (("sampled", 1.0), ("greedy", 0.0)):
        began = time.time()
        answers = writer.generate(prompts, Sampling(max_tokens=new, temperature=temperature, seed=0))
        clock.phases[name] = time.time() - began
        clock.step()
    clock.tokens = [list(answer.tokens) for answer in answers]


JOBS = {"sft": learn, "pretrain": learn, "classify": classify, "dpo": dpo, "reward": reward, "generate": generate}


def _train(
    model: AdaptedModel,
    objective: Objective,
    steps: Iterable[Sequence[Batch]],
    work: Work,
    clock: Clock,
    ended: Callable[[], None] | None = None,
) -> None:
    """The one loop. `ended`: what is to be done before the last step counts as done."""
    optimizer = make_optimizer(model, "adamw", learning_rate=work["learning_rate"], weight_decay=0.0)
    count = len(work["steps"])
    schedule = make_schedule("constant", peak=work["learning_rate"], steps=count, warmup=0.0, final=1.0)
    for step in train(model, objective, steps, optimizer, schedule, clip=1.0):
        if ended and step.step == count:
            ended()
        clock.step()
        clock.losses.append(step.loss)


def _mark(model: AdaptedModel, work: Work) -> None:
    """Adapters are drawn from the same seed as the peers'."""
    torch.manual_seed(0)
    train = work["train"]
    mark(model, Recipe(train=train, rank=work["rank"]) if train == "lora" else Recipe(train=train), train)


def _head(model: AdaptedModel, base: Base, work: Work, clock: Clock, targets: list[int]) -> None:
    """A linear head that starts at zero, as the peer's does, on encodings from the cache where they are there."""
    head = ClassifierHead([str(n) for n in range(work["classes"])], base.width, HeadSettings(), pooling="mean")
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    model.heads[CLASSIFIER] = head
    _mark(model, work)
    encoded = encode_rows(
        model, _rows(work), pooling="mean", layer=None, budget=2 * work["micro_tokens"], pad_id=work["pad_id"],
        cache=ArrayCache(),
    )  # fmt: skip
    batches = EncodedBatches(encoded.vectors, np.array(targets), batch_rows=len(work["steps"][0]), epochs=1.0, seed=0)
    _train(model, ClassifyObjective(), ([batches.make(numbers)] for numbers in work["steps"]), work, clock)


def _rows(work: Work) -> list[Row]:
    """Token ids; the last `learned` of them are learned from."""
    found = []
    for row in work["rows"]:
        weights = np.zeros(len(row["tokens"]), np.float32)
        weights[len(weights) - row["learned"] :] = 1.0
        found.append(Row(np.array(row["tokens"], np.int32), weights))
    return found


def _groups(work: Work) -> list[Group]:
    """Comparisons: the first of two rows is the better one."""
    rows = _rows(work)
    return [Group(pair, {RANK: (1, 2)}) for pair in zip(rows[::2], rows[1::2], strict=True)]


def _in_groups(groups: Sequence[Group], work: Work) -> Iterable[list[Batch]]:
    batches = GroupBatches(groups, budget=work["micro_tokens"], pad_id=work["pad_id"], epochs=1.0, seed=0)
    return ([batches.make(part) for part in batches.split(numbers)] for numbers in work["steps"])
