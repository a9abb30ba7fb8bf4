"""Preferences as they can be learned from: something is better than something else, for DPO two completions each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from affinage.data.ledger import Drop
from affinage.data.records import Preference, Record


def comparable(records: Iterable[Record], *, only_two: bool) -> tuple[list[Record], list[Drop]]:
    """The preferences that tell completions apart, each row once, and those left out.

    Args:
        only_two: keep of each the best and the worst completion.
    """
    kept: dict[str, Record] = {}
    drops: list[Drop] = []
    for record in records:
        if not isinstance(record, Preference):
            raise TypeError(f"{type(record).__name__} holds no completions to compare")
        reason = ""
        if len(set(record.ranks)) == 1:
            reason = "tied-completions"
        elif only_two and record.best.says() == record.worst.says():
            reason = "chosen-equals-rejected"
        if reason:
            drops.append(Drop(reason, record.source, record_id=record.id))
            continue
        made = best_and_worst(record) if only_two else record
        if made.id in kept:  # they differed in completions between the best and the worst
            drops.append(Drop("duplicate", record.source, record_id=record.id))
        else:
            kept[made.id] = made
    return list(kept.values()), drops


def best_and_worst(record: Preference) -> Preference:
    """The same preference with two completions, the best and the worst."""
    if record.ranks == (1, 2):
        return record
    scores: Sequence[float] | None = record.scores
    if scores is not None:
        places = record.ranks.index(min(record.ranks)), record.ranks.index(max(record.ranks))
        scores = tuple(scores[place] for place in places)
    return replace(record, completions=(record.best, record.worst), ranks=(1, 2), scores=scores)
