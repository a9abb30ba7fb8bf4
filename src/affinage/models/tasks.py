"""What a head answers about a text: one of the labels, any of them, or a number. Each kind is one small object.

Shapes: B rows, C logits a row (one for a number). `scales` are the head's own buffers beside its weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import functional

Scales = Mapping[str, Tensor]


class Task(Protocol):
    """One kind of answer."""

    name: ClassVar[str]
    figure: ClassVar[str]  # what `figures` adds up

    def outputs(self, labels: int) -> int:
        """Logits of one row."""
        ...

    def scales(self, outputs: int) -> dict[str, Tensor]:
        """Buffers that the head keeps: whatever is fitted on rows but not by gradients, as it is before fitting."""
        ...

    def start(self, targets: Tensor, scales: Scales) -> Tensor | None:
        """Fit scales on training targets; the last layer's bias (C,) to start from, where zeros are not best."""
        ...

    def loss(self, logits_BC: Tensor, targets: Tensor, scales: Scales) -> Tensor:
        """A sum over rows."""
        ...

    def figures(self, logits_BC: Tensor, targets: Tensor, scales: Scales) -> Tensor:
        """A second figure for people, summed over rows."""
        ...

    def answers(self, logits_BC: Tensor, scales: Scales) -> Tensor:
        """Calibrated probabilities (B, C), or numbers (B, 1) in the data's own unit."""
        ...

    def say(self, answers_C: Sequence[float], labels: Sequence[str], scales: Scales) -> dict[str, Any]:
        """The answer to one row as JSON values."""
        ...


class Single:
    """One of the labels: softmax and cross-entropy."""

    name: ClassVar[str] = "single"
    figure: ClassVar[str] = "accuracy"

    def outputs(self, labels: int) -> int:
        return labels

    def scales(self, outputs: int) -> dict[str, Tensor]:
        return {"temperature": torch.ones(())}

    def start(self, targets: Tensor, scales: Scales) -> Tensor | None:
        return None

    def loss(self, logits_BC: Tensor, targets: Tensor, scales: Scales) -> Tensor:
        return functional.cross_entropy(logits_BC, targets.long(), reduction="sum")

    def figures(self, logits_BC: Tensor, targets: Tensor, scales: Scales) -> Tensor:
        return (logits_BC.argmax(dim=-1) == targets.long()).sum()

    def answers(self, logits_BC: Tensor, scales: Scales) -> Tensor:
        return torch.softmax(logits_BC / scales["temperature"], dim=-1)

    def say(self, answers_C: Sequence[float], labels: Sequence[str], scales: Scales) -> dict[str, Any]:
        best = max(range(len(labels)), key=lambda number: answers_C[number])
        each = dict(zip(labels, answers_C, strict=True))
        return {"label": labels[best], "probability": answers_C[best], "probabilities": each}


class Multi:
    """Any of the labels, each on its own: sigmoid and binary cross-entropy; said are those over their thresholds."""

    name: ClassVar[str] = "multi"
    figure: ClassVar[str] = "label_accuracy"

    def outputs(self, labels: int) -> int:
        return labels

    def scales(self, outputs: int) -> dict[str, Tensor]:
        return {"temperature": torch.ones(()), "thresholds": torch.full((outputs,), 0.5)}

    def start(self, targets: Tensor, scales: Scales) -> Tensor | None:
        # A label that one row in a hundred carries is hundreds of small steps away from even odds.
        shares_C = (targets.double().sum(dim=0) + 0.5) / (len(targets) + 1)
        return torch.logit(shares_C)

    def loss(self, logits_BC: Tensor, targets: Tensor, scales: Scales) -> Tensor:
        return functional.binary_cross_entropy_with_logits(logits_BC, targets.to(logits_BC), reduction="sum")

    def figures(self, logits_BC: Tensor, targets: Tensor, scales: Scales) -> Tensor:
        return ((logits_BC > 0) == (targets > 0.5)).float().mean(dim=-1).sum()

    def answers(self, logits_BC: Tensor, scales: Scales) -> Tensor:
        return torch.sigmoid(logits_BC / scales["temperature"])

    def say(self, answers_C: Sequence[float], labels: Sequence[str], scales: Scales) -> dict[str, Any]:
        limits = scales["thresholds"].tolist()
        said = [label for label, p, limit in zip(labels, answers_C, limits, strict=True) if p >= limit]
        return {"labels": said, "probabilities": dict(zip(labels, answers_C, strict=True))}


class Number:
    """A number: squared error on targets standardised by `centre` and `spread`, which stand in the data's own unit.

    `reach` is the half-width of an interval round the answer, fitted on validation rows (0: not fitted).
    """

    name: ClassVar[str] = "number"
    figure: ClassVar[str] = "absolute_error"

    def outputs(self, labels: int) -> int:
        return 1

    def scales(self, outputs: int) -> dict[str, Tensor]:
        return {"centre": torch.zeros(()), "spread": torch.ones(()), "reach": torch.zeros(())}

    def start(self, targets: Tensor, scales: Scales) -> Tensor | None:
        values = targets.double()
        spread = values.std(correction=0)
        scales["centre"].copy_(values.mean())
        if float(spread) > 0:
            scales["spread"].copy_(spread)
        # At the mean itself the bias has no gradient but rounding, which Adam would blow up to whole steps.
        return torch.full((1,), 0.01)

    def loss(self, logits_BC: Tensor, targets: Tensor, scales: Scales) -> Tensor:
        wanted_B = (targets.to(logits_BC) - scales["centre"]) / scales["spread"]
        return functional.mse_loss(logits_BC[:, 0], wanted_B, reduction="sum")

    def figures(self, logits_BC: Tensor, targets: Tensor, scales: Scales) -> Tensor:
        return (self.answers(logits_BC, scales)[:, 0] - targets).abs().sum()

    def answers(self, logits_BC: Tensor, scales: Scales) -> Tensor:
        return logits_BC * scales["spread"] + scales["centre"]

    def say(self, answers_C: Sequence[float], labels: Sequence[str], scales: Scales) -> dict[str, Any]:
        value, reach = answers_C[0], float(scales["reach"])
        low, high = (value - reach, value + reach) if reach > 0 else (None, None)
        return {"value": value, "low": low, "high": high}


TASKS: dict[str, Task] = {task.name: task for task in (Single(), Multi(), Number())}
