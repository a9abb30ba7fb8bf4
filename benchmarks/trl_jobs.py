"""The jobs in TRL: SFTTrainer, DPOTrainer with and without the reference's log-probabilities computed first, and
RewardTrainer. Settings as in peers.py; on comparisons TRL pads, its padding-free passes are not to be had there.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from clock import Clock
from datasets import Dataset
from peers import Timed, Work, adapter, features, load, same_steps, settings, trainable
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer


def run(system: str, work: Work, clock: Clock) -> None:
    """Do the job."""
    {"sft": _sft, "dpo": _dpo, "reward": _reward}[work["kind"]](system, work, clock)


def _sft(system: str, work: Work, clock: Clock) -> None:
    """Without padding, which is what is fastest here."""
    model = trainable(load(work), work)
    unprepared = {"skip_prepare_dataset": True}
    same_steps(SFTTrainer, work)(
        model=model, args=SFTConfig(**settings(work, padding_free=True, max_length=None, dataset_kwargs=unprepared)),
        train_dataset=Dataset.from_list(features(work)), callbacks=[Timed(clock)],
        processing_class=AutoTokenizer.from_pretrained(work["model"]),
    ).train()  # fmt: skip


def _dpo(system: str, work: Work, clock: Clock) -> None:
    """The reference is the policy without its adapter."""
    rows = []
    for chosen, rejected in zip(work["rows"][::2], work["rows"][1::2], strict=True):
        prompt = len(chosen["tokens"]) - chosen["learned"]
        tokens = chosen["tokens"]
        rows.append(
            {"prompt_ids": tokens[:prompt], "chosen_ids": tokens[prompt:], "rejected_ids": rejected["tokens"][prompt:]}
        )

    def prepared(self: Any, dataset: Any, *rest: Any) -> Any:
        return dataset  # token ids already

    def precompute(self: Any, *rest: Any) -> Any:
        began = time.time()
        found = DPOTrainer._precompute_ref_logps(self, *rest)
        clock.before = time.time() - began
        return found

    kind = same_steps(DPOTrainer, work, _prepare_dataset=prepared, _precompute_ref_logps=precompute)
    config = DPOConfig(
        **settings(work, per_device_train_batch_size=len(work["steps"][0])),
        beta=0.1, max_length=None, precompute_ref_log_probs=system == "trl-reference",
    )  # fmt: skip
    kind(
        model=load(work), args=config, train_dataset=Dataset.from_list(rows), callbacks=[Timed(clock)],
        processing_class=AutoTokenizer.from_pretrained(work["model"]), peft_config=adapter(work, task_type="CAUSAL_LM"),
    ).train()  # fmt: skip


def _reward(system: str, work: Work, clock: Clock) -> None:
    model = load(work, AutoModelForSequenceClassification, num_labels=1)
    with torch.no_grad():
        model.score.weight.copy_(torch.tensor(work["start"])[None])
    pairs = zip(work["rows"][::2], work["rows"][1::2], strict=True)
    rows = [{"chosen_ids": chosen["tokens"], "rejected_ids": rejected["tokens"]} for chosen, rejected in pairs]
    same_steps(RewardTrainer, work)(
        model=model, args=RewardConfig(**settings(work), max_length=None), train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(work["model"]), callbacks=[Timed(clock)],
        peft_config=adapter(work, task_type="SEQ_CLS", modules_to_save=["score"]),
    ).train()  # fmt: skip
