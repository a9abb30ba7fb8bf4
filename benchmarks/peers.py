"""The jobs in Hugging Face's Trainer (with peft) and transformers' `generate`, with the settings that are best on a CPU:
float32, no gradient checkpointing, SDPA attention, fused AdamW, no evaluation, no saving.
"""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import peft
import torch
import transformers.models.llama.modeling_llama  # noqa: F401 - imported late otherwise, after memory was read
from clock import Clock
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorWithFlattening,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

IGNORED = -100
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

Work = dict[str, Any]


def run(system: str, work: Work, clock: Clock) -> None:
    """Do the job."""
    model = load(work)
    if work["kind"] == "generate":
        _generate(model, work, clock)
    elif work["kind"] == "classify":
        _classify(model, work, clock)
    else:
        _hugging_face(trainable(model, work), work, system, clock)


def load(work: Work, kind: Any = AutoModelForCausalLM, **more: Any) -> Any:
    """The network, with the work's number of threads."""
    torch.set_num_threads(work["threads"])
    set_seed(0)
    model = kind.from_pretrained(work["model"], dtype=torch.float32, attn_implementation="sdpa", **more)
    model.config.use_cache = False
    return model


class Timed(TrainerCallback):
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


def settings(work: Work, **more: Any) -> dict[str, Any]:
    """Training arguments that all trainers share."""
    return {
        "output_dir": tempfile.mkdtemp(),
        "max_steps": len(work["steps"]),
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
        "seed": 0,
        **more,
    }


def same_steps(kind: Any, work: Work, **more: Any) -> Any:
    """The trainer class, with the work's rows in each step; `more` of its methods replaced."""

    def loader(self: Any) -> Any:
        return DataLoader(self.train_dataset, batch_sampler=work["steps"], collate_fn=self.data_collator)

    return type("SameSteps", (kind,), {"get_train_dataloader": loader, **more})


def adapter(work: Work, **more: Any) -> Any:
    """LoRA on all linear layers of the blocks."""
    rank = work["rank"]
    return peft.LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=LINEAR, **more)


def trainable(model: Any, work: Work) -> Any:
    """The model with what may move."""
    train = work["train"]
    if train == "lora":
        torch.manual_seed(0)
        return peft.get_peft_model(model, adapter(work, task_type="CAUSAL_LM"))
    if train.startswith("last:"):
        model.requires_grad_(False)
        for block in model.model.layers[-int(train.removeprefix("last:")) :]:
            block.requires_grad_(True)
    return model


def features(work: Work) -> list[dict[str, Any]]:
    """Token ids, and labels where something is learned."""
    found = []
    for row in work["rows"]:
        tokens, prompt = row["tokens"], len(row["tokens"]) - row["learned"]
        found.append({"input_ids": tokens, "labels": [IGNORED] * prompt + tokens[prompt:]})
    return found


def _padded(rows: list[dict[str, Any]], pad_id: int) -> dict[str, Tensor]:
    """Token ids and mask, padded to the longest row of the batch."""
    tokens = [torch.tensor(row["input_ids"]) for row in rows]
    pad = nn.utils.rnn.pad_sequence
    mask = pad([torch.ones_like(row) for row in tokens], batch_first=True)
    return {"input_ids": pad(tokens, batch_first=True, padding_value=pad_id), "attention_mask": mask}


def _hugging_face(model: Any, work: Work, system: str, clock: Clock) -> None:
    def pad(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        labels = [torch.tensor(row["labels"]) for row in rows]
        labels_BT = nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORED)
        return {**_padded(rows, work["pad_id"]), "labels": labels_BT}

    same_steps(Trainer, work)(
        model=model, args=TrainingArguments(**settings(work)), train_dataset=features(work),
        data_collator=DataCollatorWithFlattening() if system == "hf-packed" else pad, callbacks=[Timed(clock)],
    ).train()  # fmt: skip


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


def _classify(model: Any, work: Work, clock: Clock) -> None:
    """Another head costs as much as the first: each pass goes through the network again."""

    def pad(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        return {**_padded(rows, work["pad_id"]), "labels": torch.tensor([row["label"] for row in rows])}

    pairs = zip(work["rows"], work["targets"][0], strict=True)
    rows = [{"input_ids": row["tokens"], "label": target} for row, target in pairs]
    same_steps(Trainer, work)(
        model=_FrozenClassifier(model, work["classes"]), args=TrainingArguments(**settings(work)), train_dataset=rows,
        data_collator=pad, callbacks=[Timed(clock)],
    ).train()  # fmt: skip
    clock.phases["another head"] = clock.ends[-1] - clock.began


@torch.inference_mode()
def _generate(model: Any, work: Work, clock: Clock) -> None:
    """All prompts in one batch (they are equally long), no end token, ids back to text as ours."""
    tokenizer = AutoTokenizer.from_pretrained(work["model"])
    prompts_BT = torch.tensor([row["tokens"] for row in work["rows"]])
    model.generation_config.eos_token_id = None
    more = {"attention_mask": torch.ones_like(prompts_BT), "pad_token_id": work["pad_id"], "use_cache": True}
    model.generate(prompts_BT, do_sample=False, max_new_tokens=4, **more)
    clock.begin()
    for name, how in (("sampled", {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}), ("greedy", {})):
        began = time.time()
        whole = model.generate(prompts_BT, **{"do_sample": False, **how}, max_new_tokens=work["new_tokens"], **more)
        written = whole[:, prompts_BT.shape[1] :]
        tokenizer.batch_decode(written, skip_special_tokens=True)
        clock.phases[name] = time.time() - began
        clock.step()
    clock.tokens = written.tolist()
