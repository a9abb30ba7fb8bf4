"""What a head says about rows, from texts run through the model or from cached encodings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from affinage.data.batches import Row, by_length, collate
from affinage.evaluation.measures import MEASURES
from affinage.evaluation.scores import HeadScores
from affinage.models.adapted import AdaptedModel
from affinage.models.encodings import Vectors, evaluating
from affinage.models.heads import ClassifierHead, classifier, pool

Floats = NDArray[np.float64]

_CHUNK = 8192  # rows of encodings that pass the head at once


def score_rows(model: AdaptedModel, rows: Sequence[Row], *, budget: int, pad_id: int) -> HeadScores:
    """Run texts through model and head. `rows` carry their `target`.

    Args:
        budget: padded tokens in one forward pass.
    """
    logits_RC = row_logits(model, rows, budget=budget, pad_id=pad_id)
    return score_logits(classifier(model), logits_RC, [row.target for row in rows])


def score_encodings(model: AdaptedModel, encodings: Vectors, targets: ArrayLike) -> HeadScores:
    """Run cached encodings (R, H) of rows with these targets, (R,) or (R, C), through the head."""
    return score_logits(classifier(model), encoding_logits(model, encodings), targets)


def score_logits(head: ClassifierHead, logits_RC: Floats, targets: Any) -> HeadScores:
    """What logits say, in the head's own task."""
    return MEASURES[head.task.name].scores(head, logits_RC, np.asarray(targets))


def row_logits(model: AdaptedModel, rows: Sequence[Row], *, budget: int, pad_id: int) -> Floats:
    """Logits (R, C) of texts in the rows' order, not yet scaled."""
    head = classifier(model)
    lengths = [len(row) for row in rows]
    order = sorted(range(len(rows)), key=lambda number: -lengths[number])
    logits_RC = np.zeros((len(rows), head.outputs))
    with evaluating(model), torch.inference_mode():
        for numbers in by_length(lengths, order, budget):
            batch = collate([rows[number] for number in numbers], pad_id).to(model.device)
            encodings_BH = pool(model.hidden(batch, head.layer), batch.mask_BT, head.pooling)
            logits_RC[numbers] = head(encodings_BH).double().cpu().numpy()
    return logits_RC


def encoding_logits(model: AdaptedModel, encodings: Vectors) -> Floats:
    """Logits (R, C) of cached encodings, not yet scaled."""
    head = classifier(model)
    with evaluating(head), torch.inference_mode():
        parts = [
            head(torch.from_numpy(encodings[start : start + _CHUNK]).to(head.mean.device)).double().cpu().numpy()
            for start in range(0, len(encodings), _CHUNK)
        ]
    return np.concatenate([np.zeros((0, head.outputs)), *parts])


def mean_loss_of(head: ClassifierHead, logits_RC: Floats, targets: ArrayLike) -> float:
    """The loss that training minimises, per row."""
    total = head.loss(torch.from_numpy(logits_RC), torch.from_numpy(np.asarray(targets)))
    return float(total) / len(logits_RC)
