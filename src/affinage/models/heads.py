"""The stack of dense layers that turns a model's encodings into answers, and the pooling before it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from affinage.errors import InputError
from affinage.models.tasks import TASKS, Scales
from affinage.recipe import HeadSettings

CLASSIFIER = "classifier"  # the head's name on the model
Pooling = Literal["mean", "last", "first", "max"]


def head_defaults(rows: int, outputs: int, width: int) -> dict[str, Any]:
    """Settings with which a frozen head keeps up with a tuned logistic regression on the same encodings.

    About 1,000 steps of up to 256 rows, stopped early. Few rows overfit in tens of steps, so they take small ones
    (the best rate grew from 1e-3 at 500 rows to 1e-2 at 5,000, for widths of 64 to 512, 2 to 77 classes). A weight
    decay of 1 won a point on one set and lost one on another, so there is none; early stopping does its work.

    Args:
        rows: training rows.
        outputs: logits of a row: labels C, or 1 for a number.
        width: width H of the encodings.

    Raises:
        InputError: there is nothing to fit.
    """
    if rows < 1 or outputs < 1 or width < 1:
        raise InputError(f"no head fits {rows} rows, {outputs} outputs and encodings of width {width}")
    batch_rows = 256
    per_epoch = -(-rows // batch_rows)
    return {
        "pooling": "mean",
        "layer": None,
        "batch_rows": batch_rows,
        "epochs": float(min(300, max(5, round(1000 / per_epoch)))),
        "learning_rate": float(f"{1e-3 * min(10.0, max(1.0, rows / 500)):.2g}"),
        "weight_decay": 0.0,
        "schedule": "cosine",
        "warmup": 0.05,
        "final_rate": 0.1,
        "clip": 1.0,
        "evaluations": 20,
        "patience": 3,
    }


def pool(hidden_BTH: Tensor, mask_BT: Tensor, how: str) -> Tensor:
    """One float32 vector per row (B, H) from the hidden states of its real tokens (right-padded)."""
    if how == "first":
        return hidden_BTH[:, 0].float()
    if how == "last":
        last_B = mask_BT.sum(dim=1).sub(1).clamp(min=0)
        return hidden_BTH[torch.arange(len(last_B), device=last_B.device), last_B].float()
    mask_BT1 = mask_BT.unsqueeze(-1)
    if how == "max":
        return hidden_BTH.float().masked_fill(~mask_BT1, -torch.inf).amax(dim=1)
    if how == "mean":
        total_BH = hidden_BTH.float().masked_fill(~mask_BT1, 0.0).sum(dim=1)
        return total_BH / mask_BT.sum(dim=1, keepdim=True).clamp(min=1)
    raise InputError(f"unknown pooling {how!r}", fix=f"one of {', '.join(get_args(Pooling))}")


def standardisation(encodings_RH: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of each feature (H,), in float64; one that never varies keeps its scale."""
    values = encodings_RH.double()
    spread = values.std(dim=0, correction=0)
    floor = 1e-6 * values.abs().amax(dim=0).clamp(min=1e-6)
    return values.mean(dim=0), torch.where(spread > floor, spread, torch.ones_like(spread))


class ClassifierHead(nn.Module):
    """Standardised encodings -> dense layers with GELU between them -> logits, which the task turns into answers.

    The standardisation (`mean`, `std`) is fitted once on training encodings and saved with the weights, as are the
    task's own scales (temperature, thresholds, the unit of the numbers).

    Args:
        labels: the labels' names, in the order of the logits; none for numbers.
        inputs: width H of the encodings.
        settings: depth, width, dropout and task (unset: one label a row).
        pooling: how a text's token encodings become one vector.
        layer: which block's encodings (0: the embeddings; None: the last, normalised).
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        labels: Sequence[str],
        inputs: int,
        settings: HeadSettings,
        *,
        pooling: str = "mean",
        layer: int | None = None,
    ) -> None:
        super().__init__()
        self.labels = list(labels)
        self.inputs = inputs
        self.shape = settings
        self.task = TASKS[settings.task or "single"]
        self.outputs = self.task.outputs(len(labels))
        self.pooling = pooling
        self.layer = layer
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("std", torch.ones(inputs))
        for name, value in self.task.scales(self.outputs).items():
            self.register_buffer(name, value)
        widths = [inputs, *[settings.width] * (settings.depth - 1), self.outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.dropout = nn.Dropout(settings.dropout)
        for dense in self.layers:
            assert isinstance(dense, nn.Linear)
            nn.init.zeros_(dense.bias)
        # Small, so that training starts from even odds; not zero, so that a trained body gets a gradient at once.
        nn.init.normal_(self.layers[-1].weight, std=0.02 / max(1.0, widths[-2] / 64) ** 0.5)  # type: ignore[arg-type]

    def forward(self, encodings_BH: Tensor) -> Tensor:
        """Logits (B, C), in float32 whatever the encodings' type, not yet scaled."""
        features = (encodings_BH.to(self.mean.dtype) - self.mean) / self.std
        for number, dense in enumerate(self.layers):
            features = dense(self.dropout(features if number == 0 else nn.functional.gelu(features)))
        return features

    @property
    def scales(self) -> Scales:
        """The task's buffers, by name; what is written into them stays."""
        return {name: self.get_buffer(name) for name in self.task.scales(self.outputs)}

    def loss(self, logits_BC: Tensor, targets: Tensor) -> Tensor:
        """The task's loss, a sum over rows."""
        return self.task.loss(logits_BC, targets, self._scales_for(logits_BC))

    def figures(self, logits_BC: Tensor, targets: Tensor) -> Tensor:
        """The task's second figure (its name: `task.figure`), a sum over rows."""
        return self.task.figures(logits_BC, targets, self._scales_for(logits_BC))

    @torch.no_grad()
    def answers(self, logits_BC: Tensor) -> Tensor:
        """What logits mean: calibrated probabilities (B, C), or numbers (B, 1) in the data's own unit."""
        return self.task.answers(logits_BC, self._scales_for(logits_BC))

    @torch.no_grad()
    def start(self, targets: Tensor) -> None:
        """Fit the task's scales, and where the weights start from, on the training rows' targets."""
        bias_C = self.task.start(targets, self.scales)
        if bias_C is not None:
            self.layers[-1].bias.copy_(bias_C)  # type: ignore[operator]

    def say(self, answers_C: Sequence[float]) -> dict[str, Any]:
        """The answer to one row as JSON values."""
        return self.task.say(answers_C, self.labels, self.scales)

    def _scales_for(self, logits_BC: Tensor) -> Scales:
        """The scales where the logits are, in their numbers."""
        return {name: value.to(logits_BC) for name, value in self.scales.items()}

    @torch.no_grad()
    def standardise(self, encodings_RH: Tensor) -> None:
        """Fit the input standardisation on training encodings."""
        mean_H, std_H = standardisation(encodings_RH)
        self.mean.copy_(mean_H)
        self.std.copy_(std_H)

    @property
    def settings(self) -> dict[str, Any]:
        """All that `from_settings` needs to build the same head, as JSON values."""
        return {
            "task": self.task.name,
            "labels": self.labels,
            "inputs": self.inputs,
            "depth": self.shape.depth,
            "width": self.shape.width,
            "dropout": self.shape.dropout,
            "pooling": self.pooling,
            "layer": self.layer,
        }

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> ClassifierHead:
        """An untrained head as `settings` describes it.

        Raises:
            InputError: a key is missing or of the wrong kind.
        """
        try:
            shape = HeadSettings(
                **{key: settings[key] for key in ("depth", "width", "dropout", "pooling", "layer")},
                task=settings.get("task", "single"),  # older runs knew one kind
            )
            labels, inputs = [str(label) for label in settings["labels"]], int(settings["inputs"])
            return cls(labels, inputs, shape, pooling=shape.pooling or "mean", layer=shape.layer)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the head's settings are broken: {error}", fix="copy them again from the run") from None


def classifier(model: nn.Module) -> ClassifierHead:
    """The classification head on `model`.

    Raises:
        InputError: it has none.
    """
    heads = model.get_submodule("heads")
    if not isinstance(heads, nn.ModuleDict) or CLASSIFIER not in heads:
        raise InputError("this model has no classification head", fix="take a run of objective classify")
    head = heads[CLASSIFIER]
    assert isinstance(head, ClassifierHead)
    return head
