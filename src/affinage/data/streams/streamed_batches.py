"""Optimizer steps of a stream: its windows one after the other, the rows of each shuffled together."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from affinage.data.batches import Batch, Row, by_length, collate, draws
from affinage.data.ledger import Drop, Ledger
from affinage.data.records import Source
from affinage.data.streams.mixing import replay_times
from affinage.data.streams.packs import Pack
from affinage.data.streams.stream import RowStream


class StreamedBatches:
    """Optimizer steps of a stream, each a list of micro-batches; the position can be saved between any two.

    Args:
        stream: the rows.
        budget: padded tokens of a step.
        micro: padded tokens of a micro-batch.
        beside: rows of general text that are replayed, and their share of each window's tokens.
    """

    def __init__(
        self,
        stream: RowStream,
        *,
        budget: int,
        micro: int,
        pad_id: int,
        epochs: float,
        beside: tuple[Sequence[Row], float],
    ) -> None:
        self.stream = stream
        self.budget = budget
        self.micro = micro
        self.pad_id = pad_id
        self.epochs = epochs
        self.beside = beside
        self.epoch = self.window = self.position = 0

    def __iter__(self) -> Iterator[list[Batch]]:
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

    def _serve(self, numbers: Sequence[int], packs: Sequence[Pack]) -> Iterator[list[Batch]]:
        rows, groups = self._groups(numbers, packs)
        while self.position < len(groups):
            group = groups[self.position]
            self.position += 1
            parts = by_length(rows.lengths, group, self.micro)
            yield [collate([rows[number] for number in part], self.pad_id) for part in parts]

    def _groups(self, numbers: Sequence[int], packs: Sequence[Pack]) -> tuple[_Pool, list[list[int]]]:
        """The rows of the present window, and which of them stand in each step."""
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
        windows = self.stream.windows(0)[: None if self.epoch else self.window + 1]
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
