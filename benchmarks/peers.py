"""The same job in Hugging Face's Trainer (with peft) and TRL's SFTTrainer, with the settings that are best on a CPU.

float32, no gradient checkpointing, fused AdamW, no evaluation, no saving, no progress bar; batches without padding
where the attention allows it.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForCausalLM,
    DataCollatorWithFlattening,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from worker import Clock

IGNORED = -100


def run(system: str, work: dict[str, Any], clock: Clock) -> list[list[int]]:
    """Train as `work` says; the row numbers of each step's batch."""
    torch.set_num_threads(work["threads"])
    set_seed(0)
    model = AutoModelForCausalLM.from_pretrained(work["model"], dtype=torch.float32, attn_implementation="sdpa")
    model.config.use_cache = False
    rows = _Rows(work)
    if work["classes"]:
        trainer = _classifier(model, rows, work, system, clock)
    elif system == "trl":
        trainer = _trl(_trainable(model, work["train"]), rows, work, clock)
    else:
        trainer = _hugging_face(_trainable(model, work["train"]), rows, work, system, clock)
    trainer.train()
    return rows.batches[: len(clock.ends)] if system == "hf-own" else list(work["groups"])


class _Rows(torch.utils.data.Dataset):
    """The rows as lists, remembering which were asked for together."""

    def __init__(self, work: dict[str, Any]) -> None:
        self.work = work
        self.batches: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.work["tokens"])

    def __getitem__(self, number: int) -> dict[str, Any]:
        tokens = self.work["tokens"][number]
        if self.work["classes"]:
            return {"input_ids": tokens, "labels": self.work["targets"][number]}
        marks = zip(tokens, self.work["learned"][number], strict=True)
        return {"input_ids": tokens, "labels": [token if learned else IGNORED for token, learned in marks]}

    def __getitems__(self, numbers: list[int]) -> list[dict[str, Any]]:
        self.batches.append(list(numbers))
        return [self[number] for number in numbers]


class _Timed(TrainerCallback):
    """Hands the trainer's own events to the clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self.clock.begin()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self.clock.step()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **rest: Any) -> None:
        if "loss" in logs:
            self.clock.losses.append(float(logs["loss"]))


class _SameBatches:
    """A trainer whose batches are given."""

    groups: list[list[int]]

    def get_train_dataloader(self) -> Any:
        return DataLoader(self.train_dataset, batch_sampler=self.groups, collate_fn=self.data_collator)  # type: ignore[attr-defined]


def _settings(work: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Training arguments that both trainers share."""
    return {
        "output_dir": tempfile.mkdtemp(),
        "max_steps": len(work["groups"]),
        "learning_rate": work["learning_rate"],
        "lr_scheduler_type": "constant",
        "adam_beta2": 0.98,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused",
        "logging_steps": 1,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
        **more,
    }


def _trainable(model: Any, train: str) -> Any:
    if train == "full":
        return model
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    settings = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM")
    return get_peft_model(model, settings)


def _padding(pad_id: int) -> Any:
    """A collator that pads to the longest row of the batch."""

    def collate(features: list[dict[str, Any]]) -> dict[str, Tensor]:
        tokens = [torch.tensor(feature["input_ids"]) for feature in features]
        labels: Any = [feature["labels"] for feature in features]
        pad = lambda rows, value: nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)  # noqa: E731
        single = isinstance(labels[0], int)
        return {
            "input_ids": pad(tokens, pad_id),
            "attention_mask": pad([torch.ones_like(row) for row in tokens], 0),
            "labels": torch.tensor(labels) if single else pad([torch.tensor(row) for row in labels], IGNORED),
        }

    return collate


def _make(kind: Any, system: str, work: dict[str, Any], clock: Clock, settings: Any, **arguments: Any) -> Any:
    """The trainer, with our batches unless it makes its own."""
    if system != "hf-own":
        kind = type("SameBatches", (_SameBatches, kind), {"groups": work["groups"]})
    return kind(args=settings, callbacks=[_Timed(clock)], **arguments)


def _own(work: dict[str, Any]) -> dict[str, Any]:
    """Their own batches: sorted by length, as many rows as ours have on average."""
    rows = round(sum(map(len, work["groups"])) / len(work["groups"]))
    return {"per_device_train_batch_size": rows, "train_sampling_strategy": "group_by_length"}


def _hugging_face(model: Any, rows: _Rows, work: dict[str, Any], system: str, clock: Clock) -> Any:
    collator = DataCollatorWithFlattening() if system == "hf-packed" else _padding(work["pad_id"])
    settings = TrainingArguments(**_settings(work, **(_own(work) if system == "hf-own" else {})))
    return _make(Trainer, system, work, clock, settings, model=model, train_dataset=rows, data_collator=collator)


def _trl(model: Any, rows: _Rows, work: dict[str, Any], clock: Clock) -> Any:
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    dataset = Dataset.from_list([rows[number] for number in range(len(rows))])
    unprepared = {"skip_prepare_dataset": True}
    settings = SFTConfig(**_settings(work, padding_free=True, max_length=None, dataset_kwargs=unprepared))
    tokenizer = AutoTokenizer.from_pretrained(work["model"])
    return _make(
        SFTTrainer, "trl", work, clock, settings, model=model, train_dataset=dataset, processing_class=tokenizer
    )


class _FrozenClassifier(nn.Module):
    """Mean of the frozen network's last hidden states, then a linear layer that starts at zero."""

    def __init__(self, model: Any, classes: int) -> None:
        super().__init__()
        self.body = model.base_model.requires_grad_(False).eval()
        self.head = nn.Linear(model.config.hidden_size, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            hidden = self.body(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1)
        logits = self.head(mean)
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


def _classifier(model: Any, rows: _Rows, work: dict[str, Any], system: str, clock: Clock) -> Any:
    settings = TrainingArguments(**_settings(work, **(_own(work) if system == "hf-own" else {})))
    collator = _padding(work["pad_id"])
    frozen = _FrozenClassifier(model, work["classes"])
    return _make(Trainer, system, work, clock, settings, model=frozen, train_dataset=rows, data_collator=collator)
