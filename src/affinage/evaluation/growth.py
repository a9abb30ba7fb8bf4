"""How a head's figure grows with its training rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affinage.evaluation.scores import HeadScores

Numbers = NDArray[np.int64]

SHARES = (0.1, 0.25, 0.5, 1.0)


def learning_curve(
    refit: Callable[[Numbers], HeadScores],
    strata: ArrayLike,
    *,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """The held-out headline with growing, nested parts of the training rows.

    Args:
        refit: numbers of training rows (ascending) -> what a head fitted on them says of the held-out rows.
        strata: a whole number for each training row (R,); every part has nearly the same share of each.

    Returns:
        per share a point as `point` makes it; shares that come to the same number of rows are given once.
    """
    order = nested_order(np.asarray(strata, np.int64), seed)
    counts = {min(len(order), max(2, round(share * len(order)))): share for share in sorted(shares)}
    return [point(share, rows, refit(np.sort(order[:rows]))) for rows, share in counts.items()]


def point(share: float, rows: int, scores: HeadScores) -> dict[str, Any]:
    """`{"share", "rows", <the headline's name>: {"value", "low", "high"}}`."""
    return {"share": share, "rows": rows, scores.metric: scores.headline.to_json()}


def nested_order(strata_R: Numbers, seed: int) -> Numbers:
    """A shuffle of the rows in which every beginning has nearly the strata's own shares."""
    rng = np.random.default_rng(seed)
    place_R = np.empty(len(strata_R))
    for number in np.unique(strata_R):
        rows = rng.permutation(np.flatnonzero(strata_R == number))
        place_R[rows] = (np.arange(len(rows)) + rng.uniform(0, 1)) / len(rows)
    return np.argsort(place_R, kind="stable").astype(np.int64)
