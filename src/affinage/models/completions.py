"""One number of each completion of some groups, read from forward passes: log-probabilities, rewards."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from affinage.data.batches import Batch
from affinage.data.groups import GROUP, Group, collate_groups, in_order
from affinage.errors import RunError
from affinage.models.adapted import AdaptedModel
from affinage.models.encodings import evaluating

Floats = NDArray[np.float64]


def completion_values(
    model: AdaptedModel,
    groups: Sequence[Group],
    read: Callable[[Batch], Tensor],
    *,
    budget: int,
    pad_id: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Floats]:
    """Of each group the number of each of its completions (K,), in the groups' order; nothing is dropped out.

    Args:
        read: a batch -> a number for each of its rows (B,).
        budget: tokens in one forward pass, each prompt counted once.
        progress: hears (groups done, groups).

    Raises:
        RunError: a number is not finite.
    """
    found: list[Floats] = [np.zeros(0)] * len(groups)
    done = 0
    with evaluating(model), torch.inference_mode():
        for numbers in in_order(groups, budget):
            batch = collate_groups([groups[number] for number in numbers], pad_id).to(model.device)
            values_B = read(batch).double().cpu().numpy()
            owners_B = batch.extras[GROUP].cpu().numpy()
            for place, number in enumerate(numbers):
                found[number] = values_B[owners_B == place]
            done += len(numbers)
            if progress:
                progress(done, len(groups))
    if not all(np.isfinite(values).all() for values in found):
        raise RunError("what was computed of the answers are not numbers", fix="try --set dtype=float32")
    return found
