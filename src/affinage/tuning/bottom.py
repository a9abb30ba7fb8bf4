"""Whether the frozen blocks below what trains are run once for each text, and what is said about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from affinage.models.adapted import AdaptedModel
from affinage.models.frozen import stream_bytes
from affinage.store.arrays import ArrayCache, cache_folder
from affinage.store.room import room
from affinage.training.reporting import Reporter
from affinage.tuning.prepared import Prepared

KEY = "frozen_bytes"  # of the plan


@contextmanager
def bottom_kept(prepared: Prepared, model: AdaptedModel, reporter: Reporter) -> Iterator[None]:
    """While training, the outputs of the blocks below the lowest one that trains are kept on disk, where they fit.

    Streams are left out: they are mostly read once. Nothing is kept where what trains reaches the lowest block.
    """
    tokens = sum(len(row) for side in ("train", "validation") for row in prepared.rows_on(side))
    needed, there = stream_bytes(tokens, prepared.base.width), room(cache_folder())
    cache = ArrayCache(limit=there)
    bottom = None if prepared.stream is not None else model.freeze_bottom(cache)
    if bottom is not None and needed > there:
        model.bottom = bottom = None
        reporter.note(
            f"the outputs of the frozen blocks would take {needed / 2**30:.1f} GiB on disk and may take "
            f"{there / 2**30:.1f}: they are computed in each pass"
        )
    if bottom is None:
        yield
        return
    prepared.plan.settings[KEY] = (needed, f"blocks 0 to {bottom.depth - 1} are run once for each text, kept on disk")
    reporter.note(
        f"blocks 0 to {bottom.depth - 1} are frozen: run once for each text ({needed / 2**20:.1f} MiB on disk)"
    )
    try:
        yield
    finally:
        bottom.flush()
        model.bottom = None
        for count, what in (
            (cache.counts.broken, "damaged files of the cache were thrown away; what they held was computed again"),
            (cache.counts.unwritten, "arrays could not be written to the cache: another run will compute them again"),
        ):
            if count:
                reporter.note(f"{count} {what}")
