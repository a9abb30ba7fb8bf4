"""Files too large for memory as rendered rows, block by block, in an order that is shuffled and can be resumed.

A file is cut into blocks of about a mebibyte. Each pass draws the blocks in a random order and shuffles the rows of a
window of blocks together; the first windows are small, so that training starts at once. A row is drawn exactly once a
pass. What was rendered lies in the token cache, so that a later pass, or a later run, maps it from disk.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from affinage.data.layouts.layout import Layout
from affinage.data.ledger import BadRows, Drop
from affinage.data.reading.blocks import Block, blocks, line_count, read_block
from affinage.data.reading.opening import opened
from affinage.data.records import digest
from affinage.data.redaction import redacted
from affinage.data.streams.packs import Pack, make_pack
from affinage.data.streams.seen import SeenIds
from affinage.data.streams.spool import keep
from affinage.data.streams.token_cache import TokenCache
from affinage.store.arrays import cache_key

if TYPE_CHECKING:
    from affinage.data.rendering.renderer import Renderer

BLOCK = 1 << 20  # bytes
WINDOWS = (4, 8, 16, 32, 64)  # blocks that are shuffled together; the last size goes on
_NAMED = 100  # dropped rows of a block whose places are kept; all are counted


@dataclass(frozen=True, slots=True)
class StreamSource:
    """One file of JSON lines, how its rows are read, how often each is drawn in a pass, and whether it is redacted.

    `uri` is the file that `path` is an unpacked copy of, where it is one.
    """

    path: str
    layout: Layout
    columns: str
    times: float = 1.0
    redact: bool = False
    uri: str = ""


@dataclass(frozen=True, slots=True)
class Reserved:
    """Rows that are not learned from: split keys of held-out and validation rows, and the ids of those rows."""

    keys: frozenset[str]
    ids: frozenset[str]


@dataclass
class RowStream:
    """The training rows of some large files."""

    sources: Sequence[StreamSource]
    renderer: Renderer
    reserved: Reserved
    cache: TokenCache
    seed: int
    bad_rows: BadRows = "error"
    block: int = BLOCK

    def __post_init__(self) -> None:
        self.blocks: list[tuple[StreamSource, Block]] = [
            (source, block) for source in self.sources for block in blocks(source.path, self.block)
        ]
        self._keep: dict[int, NDArray[np.bool_]] = {}
        self._facts: dict[int, Counter[str]] = {}
        self._seen = SeenIds()
        self._cached: dict[int, bool] = {}  # of each opened block: whether its rows lay in the cache at first

    def order(self, epoch: int) -> list[int]:
        """The block numbers of one pass, shuffled."""
        order = list(range(len(self.blocks)))
        random.Random(f"{self.seed}-{epoch}").shuffle(order)
        return order

    def windows(self, epoch: int) -> list[list[int]]:
        """The block numbers of one pass, in the windows whose rows are shuffled together."""
        order, position = self.order(epoch), 0
        windows: list[list[int]] = []
        while position < len(order):
            size = WINDOWS[min(len(windows), len(WINDOWS) - 1)]
            windows.append(order[position : position + size])
            position += size
        return windows

    def guarantee(self) -> str:
        """What the shuffle promises."""
        together = min(len(self.blocks), WINDOWS[-1])
        return (
            f"each pass draws {len(self.blocks):,} blocks of {self.block / 2**20:g} MiB in random order and shuffles "
            f"the rows of up to {together} blocks together; every row is drawn once a pass"
        )

    def pack(self, number: int) -> Pack:
        """The rendered rows of one block, from the cache or now."""
        source, block = self.blocks[number]
        self._keep_copy(source)
        with opened(block.uri) as file:
            file.seek(block.start)
            raw = file.read(block.end - block.start) + file.readline()  # the last line may go on past the border
        parts = (source.layout.description, source.columns, source.redact, self.renderer.settings_digest)
        key = cache_key(raw, block.start, block.end, parts)
        found = self.cache.get(key)
        self._cached.setdefault(number, found is not None)
        if found is None:
            found = self._render(source, block)
            self.cache.put(key, found)
        return found

    def told(self) -> str:
        """How many of the blocks that were opened had been rendered before, by another run."""
        hits = sum(self._cached.values())
        return f"{hits:,} of {len(self._cached):,} blocks from the cache, {len(self._cached) - hits:,} rendered now"

    def _keep_copy(self, source: StreamSource) -> None:
        if source.uri:
            keep(source.path, source.uri, bad_rows=self.bad_rows)

    def _render(self, source: StreamSource, block: Block) -> Pack:
        records, drops = [], []
        for row in read_block(block):
            for item in [row] if isinstance(row, Drop) else source.layout.to_records(row):
                if isinstance(item, Drop):
                    drops.append(item.settle(self.bad_rows))
                else:
                    records.append(item)
        if source.redact:
            records = [redacted(record)[0] for record in records]
        read = len(records) + len(drops)
        unique = {record.id: record for record in records}
        rows, lost = self.renderer.rows(list(unique.values()))
        told = Counter(drop.reason for drop in (*drops, *lost))
        told["duplicate"] += len(records) - len(unique)
        kept = {row.record_id for row in rows}
        extra = {
            "read": read,
            "dropped": +told,
            "places": [[d.reason, d.source.uri, d.source.locator, d.detail] for d in (*drops, *lost)][:_NAMED],
            "keys": [digest(record.split_key) for record in unique.values() if record.id in kept],
        }
        return make_pack(rows, [key for key in unique if key in kept], extra)

    def usable(self, number: int, pack: Pack) -> NDArray[np.bool_]:
        """Which of the pack's records are learned from: neither reserved nor said before, in the first pass's order."""
        if number not in self._keep:
            ids = np.array([int(key, 16) for key in pack.ids], np.uint64)
            fresh = self._seen.add(ids)
            reserved = np.array([key in self.reserved.keys for key in pack.extra["keys"]], bool)
            own = np.array([key in self.reserved.ids for key in pack.ids], bool) & fresh
            told = Counter(pack.extra["dropped"])
            told["duplicate"] += int((~fresh & ~reserved).sum())
            told["held-out-text"] += int((reserved & ~own).sum())
            self._facts[number] = Counter({"read": pack.extra["read"], "own": int(own.sum()), **+told})
            self._keep[number] = fresh & ~reserved
        return self._keep[number]

    def tally(self, visited: Sequence[int]) -> tuple[int, int, Counter[str]]:
        """Rows read, reserved rows met, and drops by reason, over the blocks in `visited`."""
        total: Counter[str] = Counter()
        for number in visited:
            total += self._facts[number]
        return total.pop("read", 0), total.pop("own", 0), total

    def kept(self, visited: Sequence[int]) -> int:
        """Records that are learned from, over the blocks in `visited`."""
        return sum(int(self._keep[number].sum()) for number in visited)

    def unread(self, visited: Sequence[int]) -> int:
        """Lines of the blocks that were never opened."""
        rest = set(range(len(self.blocks))) - set(visited)
        for source in {self.blocks[number][0].path: self.blocks[number][0] for number in rest}.values():
            self._keep_copy(source)
        return sum(line_count(block.uri, block.start, block.end) for _, block in (self.blocks[n] for n in rest))
