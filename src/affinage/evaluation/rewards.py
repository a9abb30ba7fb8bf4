"""What a reward model says of completions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from affinage.data.groups import Group
from affinage.models.adapted import AdaptedModel
from affinage.models.completions import Floats, completion_values
from affinage.models.reward_head import reward_head
from affinage.objectives.reward import RewardObjective


def reward_values(
    model: AdaptedModel,
    groups: Sequence[Group],
    *,
    budget: int,
    pad_id: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Floats]:
    """The reward of each completion of each group (K,), centred once the head is.

    Raises:
        InputError: the model has no reward head.
        RunError: a reward is not a number.
    """
    head, objective = reward_head(model), RewardObjective()
    return completion_values(
        model, groups, lambda batch: head.answers(objective.rewards(model, batch)),
        budget=budget, pad_id=pad_id, progress=progress,
    )  # fmt: skip
