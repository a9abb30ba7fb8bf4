"""How much general text a run replays, so that it forgets no more than it may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from affinage.recipe import Recipe

if TYPE_CHECKING:
    from affinage.planning.plan import Facts

# Shares of general text, and the part of the forgetting without replay that is left with each.
_LEFT = ((0.05, 0.5), (0.1, 0.35), (0.2, 0.2), (0.3, 0.15), (0.5, 0.1))


def replay_share(recipe: Recipe, facts: Facts) -> tuple[float, str]:
    """The share of the training tokens, and why."""
    budget = recipe.forgetting_budget
    if budget is None:
        return 0.0, "no forgetting budget is set"
    return 0.2, f"to forget at most {budget:g} bits per byte"
