"""Files too large for memory as rendered rows, block by block, in an order that is shuffled and can be resumed.

A file is cut into blocks of about a mebibyte. Each pass draws the blocks in a random order and shuffles the rows of a
window of blocks together; the first windows are small, so that training starts at once. A row is drawn exactly once a
pass. What was rendered lies in the token cache, so that a later pass, or a later run, maps it from disk.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from affinage.data.batches import Batch, Row, by_length, collate, draws
from affinage.data.blocks import Block, blocks, line_count, read_block
from affinage.data.layouts import Layout
from affinage.data.ledger import BadRows, Drop, Ledger
from affinage.data.mixing import replay_times
from affinage.data.packs import Pack, make_pack
from affinage.data.records import Source, digest
from affinage.data.token_cache import TokenCache
from affinage.store import cache_key

if TYPE_CHECKING:
    from affinage.data.rendering import Renderer

BLOCK = 1 << 20  # bytes
WINDOWS = (4, 8, 16, 32, 64)  # blocks that are shuffled together; the last size goes on
_NAMED = 100  # dropped rows of a block whose places are kept; all are counted

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class StreamSource:
    """One file of JSON lines, how its rows are read, and how often each is drawn in a pass."""

    path: str
    layout: Layout
    columns: str
    times: float = 1.0


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
    hits: int = 0
    misses: int = 0

    def __post_init__(self) -> None:
        self.blocks: list[tuple[StreamSource, Block]] = [
            (source, block) for source in self.sources for block in blocks(source.path, self.block)
        ]
        self._keep: dict[int, NDArray[np.bool_]] = {}
        self._facts: dict[int, Counter[str]] = {}
        self._seen = SeenIds()

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
        with open(block.uri, "rb") as file:
            file.seek(block.start)
            raw = file.read(block.end - block.start) + file.readline()  # the last line may go on past the border
        parts = (source.layout.description, source.columns, self.renderer.settings_digest, self.renderer.too_long)
        key = cache_key(raw, block.start, block.end, parts)
        found = self.cache.get(key)
        self.hits += found is not None
        self.misses += found is None
        if found is None:
            found = self._render(source, block)
            self.cache.put(key, found)
        return found

    def _render(self, source: StreamSource, block: Block) -> Pack:
        records, drops = [], []
        for row in read_block(block):
            for item in [row] if isinstance(row, Drop) else source.layout.to_records(row):
                if isinstance(item, Drop):
                    drops.append(item.settle(self.bad_rows))
                else:
                    records.append(item)
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
        return sum(line_count(block.uri, block.start, block.end) for _, block in (self.blocks[n] for n in rest))


class SeenIds:
    """A growing set of 64-bit ids in sorted arrays, each at least twice as long as the next: 8 bytes an id."""

    def __init__(self) -> None:
        self._levels: list[Hashes] = []

    def add(self, ids: Hashes) -> NDArray[np.bool_]:
        """Which of the distinct `ids` are new; they are known from now on."""
        fresh = np.ones(len(ids), bool)
        for level in self._levels:
            places = np.minimum(np.searchsorted(level, ids), len(level) - 1)
            fresh &= level[places] != ids
        if fresh.any():
            self._levels.append(np.sort(ids[fresh]))
        while len(self._levels) > 1 and len(self._levels[-2]) < 2 * len(self._levels[-1]):
            last = self._levels.pop()
            self._levels[-1] = np.sort(np.concatenate([self._levels[-1], last]))
        return fresh


class StreamedBatches:
    """Micro-batches of a stream; the position can be saved and restored at any point.

    Args:
        stream: the rows.
        budget: padded tokens of a micro-batch.
        beside: rows of general text that are replayed, and their share of each window's tokens.
    """

    def __init__(
        self, stream: RowStream, *, budget: int, pad_id: int, epochs: float, beside: tuple[Sequence[Row], float]
    ) -> None:
        self.stream = stream
        self.budget = budget
        self.pad_id = pad_id
        self.epochs = epochs
        self.beside = beside
        self.epoch = self.window = self.position = 0

    def __iter__(self) -> Iterator[Batch]:
        with ThreadPoolExecutor(1, thread_name_prefix="rendering") as ahead:
            self._catch_up()
            while self.epoch < self.epochs:
                windows = self.stream.windows(self.epoch)
                windows = windows[: max(1, round(min(1.0, self.epochs - self.epoch) * len(windows)))]
                coming: Future[Any] | None = None
                while self.window < len(windows):
                    packs = coming.result() if coming else self._packs(windows[self.window])
                    following = windows[self.window + 1 : self.window + 2]
                    coming = ahead.submit(self._packs, following[0]) if following else None
                    yield from self._serve(windows[self.window], packs)
                    self.window, self.position = self.window + 1, 0
                self.epoch, self.window = self.epoch + 1, 0

    def _packs(self, numbers: Sequence[int]) -> list[Pack]:
        return [self.stream.pack(number) for number in numbers]

    def _serve(self, numbers: Sequence[int], packs: Sequence[Pack]) -> Iterator[Batch]:
        rows, groups = self._groups(numbers, packs)
        while self.position < len(groups):
            group = groups[self.position]
            self.position += 1
            yield collate([rows[number] for number in group], self.pad_id)

    def _groups(self, numbers: Sequence[int], packs: Sequence[Pack]) -> tuple[_Pool, list[list[int]]]:
        """The rows of the present window, and which of them stand in each micro-batch."""
        rng = random.Random(f"{self.stream.seed}-{self.epoch}-{self.window}")
        rows, order = self._pool(numbers, packs, rng)
        groups = by_length(rows.lengths, order, self.budget)
        rng.shuffle(groups)
        return rows, groups

    def _pool(self, numbers: Sequence[int], packs: Sequence[Pack], rng: random.Random) -> tuple[_Pool, list[int]]:
        pool = _Pool([*packs, self.beside[0]])
        order: list[int] = []
        for place, (number, pack) in enumerate(zip(numbers, packs, strict=True)):
            usable = self.stream.usable(number, pack)[pack.meta_R4[:, 1]] if len(pack) else np.empty(0, bool)
            first = pool.starts[place]
            times = self.stream.blocks[number][0].times
            order += draws([first + int(n) for n in np.flatnonzero(usable)], times, rng)
        general, share = self.beside
        tokens = sum(pool.lengths[number] for number in order)
        times = replay_times(tokens, [len(row) for row in general], share)
        order += draws(range(pool.starts[-1], len(pool)), times, rng)
        rng.shuffle(order)
        return pool, order

    def _catch_up(self) -> None:
        """After a resume: which rows were said before depends on the blocks of the first pass so far."""
        first = self.stream.windows(0)
        for window in first if self.epoch else first[: self.window]:
            for number in window:
                self.stream.usable(number, self.stream.pack(number))

    def seen(self) -> set[int]:
        """Rows are counted by `ledger`, not by number."""
        return set()

    def ledger(self, *, validation: int, held_out: int) -> Ledger:
        """What became of every row, also of those in blocks that were never opened."""
        self._catch_up()
        windows = self.stream.windows(0)
        done = [n for window in (windows if self.epoch else windows[: self.window]) for n in window]
        part = [] if self.epoch or self.window >= len(windows) or not self.position else windows[self.window]
        reached = self._reached(part) if part else 0
        visited = [*done, *part]
        read, own, dropped = self.stream.tally(visited)
        unread, reserved = self.stream.unread(visited), validation + held_out - own
        packs = [self.stream.pack(number) for number in visited]
        trained = self.stream.kept(done) + reached
        return Ledger(
            read=read + max(unread, reserved),
            trained=trained,
            not_reached=self.stream.kept(part) - reached + max(0, unread - reserved),
            validation=validation,
            held_out=held_out,
            dropped=dict(+dropped),
            truncated_tokens=sum(int(pack.meta_R4[:, 3].sum()) for pack in packs),
            tokens=sum(len(pack.tokens) for pack in packs),
            learned_tokens=sum(int((np.asarray(pack.weights) > 0).sum()) for pack in packs),
        )

    def dropped(self) -> list[Drop]:
        """The dropped rows of the opened blocks with their places (up to a hundred a block)."""
        windows = [window for window in self.stream.windows(0)[: None if self.epoch else self.window + 1]]
        packs = (self.stream.pack(number) for window in windows for number in window)
        places = (place for pack in packs for place in pack.extra["places"])
        return [Drop(reason, Source(uri, place), detail) for reason, uri, place, detail in places]

    def _reached(self, window: Sequence[int]) -> int:
        """Records of a window that is being served which a batch has carried."""
        rows, groups = self._groups(window, self._packs(window))
        own = (number for group in groups[: self.position] for number in group if number < rows.starts[-1])
        return len({rows[number].record_id for number in own})

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "window": self.window, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.window, self.position = (int(state[key]) for key in ("epoch", "window", "position"))


class _Pool:
    """The rows of several lists, numbered through."""

    def __init__(self, parts: Sequence[Sequence[Row]]) -> None:
        self.parts = parts
        sizes = [len(part) for part in parts]
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)[:-1].tolist()
        self._ends = np.cumsum(sizes)
        self.lengths: list[int] = [
            int(length)
            for part in parts
            for length in (part.lengths if isinstance(part, Pack) else [len(row) for row in part])
        ]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> Row:
        part = int(np.searchsorted(self._ends, number, side="right"))
        row: Row = self.parts[part][number - self.starts[part]]
        return row
