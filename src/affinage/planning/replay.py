"""How much general text a run replays, so that it forgets no more than it may."""

from __future__ import annotations

from affinage.recipe import Recipe

# (budget in bits per byte, share): what the bundled base lost with these shares on three sets far and near stands in
# docs/decisions.md; a twentieth already saves most, more saves little and costs training.
_SHARES = ((0.1, 0.05), (0.05, 0.2))
_STRICT = 0.4


def replay_share(recipe: Recipe) -> tuple[float, str]:
    """The share of the training tokens, and why.

    No share can promise a budget beforehand: the run measures what it forgets, and keeps only what is within.
    """
    budget = recipe.forgetting_budget
    if budget is None:
        return 0.0, "no forgetting budget is set"
    share = next((share for least, share in _SHARES if budget >= least), _STRICT)
    return share, f"to forget at most {budget:g} bits per byte; only checkpoints within it are kept"
