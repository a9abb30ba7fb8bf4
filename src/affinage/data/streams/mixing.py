"""Several sources mixed by weight, and general text replayed beside them: how often each row is drawn in a pass."""

from __future__ import annotations

from collections.abc import Sequence

from affinage.data.reading.sources import find
from affinage.data.records import Record
from affinage.errors import InputError


def source_numbers(records: Sequence[Record], data: Sequence[str]) -> list[int]:
    """For each record the number of the entry of `data` (a file, a folder or a hub name) that it came from."""
    places = {uri: number for number, entry in enumerate(data) for uri in find([entry]).uris}
    return [places[record.source.uri] for record in records]


def mix_times(lengths: Sequence[int], sources: Sequence[int], weights: Sequence[float], entries: int) -> list[float]:
    """How often each row is drawn, so that each source has its weight's share of a pass's tokens.

    A pass has as many tokens as without a mix.

    Args:
        lengths: tokens of each row.
        sources: number of each row's source.
        weights: one a source, of any sum.
        entries: how many sources there are.

    Raises:
        InputError: another number of weights, a negative one, or none above 0 that has rows.
    """
    if len(weights) != entries:
        raise InputError(f"mix names {len(weights)} weights for {entries} sources", fix="give one weight a source")
    if min(weights) < 0:
        raise InputError(f"mix: {min(weights)} is below 0", fix="weights are 0 or more")
    own = [0] * entries
    for length, source in zip(lengths, sources, strict=True):
        own[source] += length
    total = sum(weight for weight, tokens in zip(weights, own, strict=True) if tokens)
    if not total:
        raise InputError("mix: no source with rows has a weight above 0", fix="raise a weight")
    pass_tokens = sum(lengths)
    times = [
        weight / total * pass_tokens / tokens if tokens else 0.0 for weight, tokens in zip(weights, own, strict=True)
    ]
    return [times[source] for source in sources]


def replay_times(tokens: float, general: Sequence[int], share: float) -> float:
    """How often general rows of these lengths are drawn, to be `share` of all tokens beside `tokens` of one's own."""
    return share / (1 - share) * tokens / sum(general) if general and share else 0.0
