"""How well a model predicts rows of text: sums per row, so that every figure and test can be made from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from affinage.errors import RunError
from affinage.evaluation.intervals import Interval, mean_interval

if TYPE_CHECKING:
    from affinage.data.batches import Batch, Row
    from affinage.models.adapted import AdaptedModel

Floats = NDArray[np.float64]
_WORTH_SHARING = 64  # tokens


@dataclass(frozen=True, slots=True, eq=False)
class LanguageScores:
    """Per row (R,): summed negative log-likelihood in nats, learned tokens, their UTF-8 bytes, and tokens hit."""

    nll_R: Floats
    tokens_R: Floats
    bytes_R: Floats
    hits_R: Floats

    def __len__(self) -> int:
        return len(self.nll_R)

    @property
    def loss(self) -> Interval:
        """Nats per token."""
        return mean_interval(self.nll_R, self.tokens_R)

    @property
    def perplexity(self) -> Interval:
        return self.loss.mapped(_exp)

    @property
    def bits_per_byte(self) -> Interval | None:
        """Comparable between tokenizers; None where no row knows its bytes."""
        return mean_interval(self.nll_R / math.log(2), self.bytes_R) if self.bytes_R.any() else None

    @property
    def token_accuracy(self) -> Interval | None:
        """Share of tokens that were the most likely one; None where hits were not counted."""
        if np.isnan(self.hits_R).any():
            return None
        share = mean_interval(self.hits_R, self.tokens_R)
        return Interval(share.value, max(0.0, share.low), min(1.0, share.high))

    def by_record(self, rows: Sequence[Row]) -> LanguageScores:
        """Sums over the rows of one record, in the order of their first rows: the record is the unit that was sampled."""
        places: dict[str, int] = {}
        return self.summed([places.setdefault(row.record_id, len(places)) for row in rows], len(places))

    def summed(self, places_R: Sequence[int], count: int) -> LanguageScores:
        """Sums of the rows that share a place (R,), one for each of `count` places; 0 where a place has no row."""
        index = np.array(places_R, np.int64)

        def total(values: Floats) -> Floats:
            return np.bincount(index, weights=values, minlength=count).astype(np.float64)

        return LanguageScores(total(self.nll_R), total(self.tokens_R), total(self.bytes_R), total(self.hits_R))

    def metrics(self) -> dict[str, Interval]:
        """Every figure by name, those that can be given."""
        figures = {
            "loss": self.loss,
            "perplexity": self.perplexity,
            "bits_per_byte": self.bits_per_byte,
            "token_accuracy": self.token_accuracy,
        }
        return {name: interval for name, interval in figures.items() if interval is not None}


def score_language(
    model: AdaptedModel,
    rows: Sequence[Row],
    *,
    budget: int,
    pad_id: int,
    progress: Callable[[int, int], None] | None = None,
) -> LanguageScores:
    """Score `rows`, longest first in batches of at most `budget` padded tokens; the results keep the rows' order.

    The model is put in evaluation mode and back. `progress` hears (rows done, rows) after each batch.

    Raises:
        RunError: a score is not a finite number.
    """
    import torch

    sums = np.zeros((3, len(rows)))
    was_training, done = model.training, 0
    model.eval()
    try:
        with torch.inference_mode():
            for group, batch in _batches(model, rows, budget, pad_id):
                scores = model.row_scores(batch.to(model.device))
                found = torch.stack([scores.nll_B, scores.tokens_B, scores.hits_B]).cpu().numpy()
                sums[:, group] = found[:, -len(group) :]  # a shared beginning stands before them
                done += len(group)
                if progress:
                    progress(done, len(rows))
    finally:
        model.train(was_training)
    if not np.isfinite(sums).all():
        raise RunError("the log-likelihoods are not finite numbers", fix="look at the model's weights, or use float32")
    return LanguageScores(sums[0], sums[1], np.array([row.learned_bytes for row in rows], np.float64), sums[2])


def _batches(model: AdaptedModel, rows: Sequence[Row], budget: int, pad_id: int) -> Iterator[tuple[list[int], Batch]]:
    """Row numbers and batches, longest rows first; a long beginning that all rows share (examples in the prompt, say) is
    read once a batch, where the model can."""
    from affinage.data.batches import by_length, collate
    from affinage.data.groups import Group, collate_groups

    common = Group(tuple(rows)).shared
    common = common if common >= _WORTH_SHARING and model.passes[0] == "packed" else 0
    lengths = [len(row) - common for row in rows]
    longest_first = sorted(range(len(rows)), key=lambda number: -lengths[number])
    for group in by_length(lengths, longest_first, budget):
        chosen = tuple(rows[number] for number in group)
        yield group, collate_groups([Group(chosen)], pad_id) if common else collate(chosen, pad_id)


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf
