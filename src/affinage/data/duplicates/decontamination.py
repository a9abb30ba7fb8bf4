"""Training rows that hold what a benchmark asks: found by shared word sequences and as near-duplicates.

The length of 13 words is that of the GPT-3 paper (Brown et al. 2020, appendix C), which also goes down to 8 words for
short items and passes over sequences that many texts share. There one shared sequence is a collision; here an item is
only found where a row holds 70% of its sequences, so that a quoted definition or an instruction of 13 words throws no
row out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from affinage.data.duplicates.near_duplicates import NearIndex
from affinage.data.duplicates.shingles import Hashes, Numbers, as_numbers, distinct, hashed, sequences, spans
from affinage.data.ledger import Drop
from affinage.data.load import load_records
from affinage.data.records import Record
from affinage.data.wording import answer_texts, prompt_text, whole_text

Kind = Literal["same", "near-duplicate", "contained"]

WORDS = 13  # in a row that a sequence has
FEWEST = 8  # words: shorter items are found as a whole text only
SHARE = 0.7  # of an item's sequences that a contaminated row holds
_BATCH = 1024  # texts
_GAP = b"\0" * 8 * WORDS
_COMMON = 100  # items that may share a sequence before it tells nothing about any of them


@dataclass(frozen=True, slots=True)
class Hit:
    """A benchmark item that a text holds.

    Attributes:
        item: its number in the benchmark.
        kind: the same words; nearly the same text; or held inside a text that says more.
        share: 1 for the same words, the overlap of a near-duplicate, or the part of the item's sequences held.
    """

    item: int
    kind: Kind
    share: float


@dataclass(frozen=True, slots=True)
class _Table:
    """The sequences of one length, ascending; `items` says whose each is."""

    values: Hashes
    items: Numbers

    def held(self, values: Hashes, starts: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Texts (by number), items of which each holds sequences, and how many different ones.

        Args:
            values: the sequences of all texts, one text after the other.
            starts: where each text starts in `values`.
        """
        first = np.searchsorted(self.values, values)
        found = np.flatnonzero(self.values[np.minimum(first, len(self.values) - 1)] == values)
        counts = np.searchsorted(self.values, values[found], side="right") - first[found]
        places = spans(first[found], counts)
        rows = np.repeat(np.searchsorted(starts, found, side="right") - 1, counts)
        rows, places = np.divmod(distinct(rows * len(self.values) + places), len(self.values))
        items = int(self.items.max()) + 1
        pairs, held = np.unique(rows * items + self.items[places], return_counts=True)
        return pairs // items, pairs % items, held


class Benchmark:
    """Texts that must not be trained on.

    An item is found in a text that has the same words or is nearly the same (`NearIndex`); one of 8 words or more also
    inside a longer text: whole where it has fewer than 13 words, else by 70% of its sequences of 13 words. Sequences
    that more than a hundred different items share do not count. Items without a word are passed over.

    Memory: about 120 bytes a word of the benchmark while it is built.
    """

    def __init__(self, texts: Iterable[str], name: str = "benchmark") -> None:
        self.name = name
        self._near = NearIndex()
        self._numbers: list[int] = []  # of each text in the index, its place in `texts`
        pieces: dict[int, list[tuple[Hashes, int]]] = {}
        for number, text in enumerate(texts):
            tokens = as_numbers(hashed(text))
            nearest = self._near.nearest(text)
            if not len(tokens) or (nearest is not None and nearest[1] == 1.0):
                continue
            self._near.add(text)
            self._numbers.append(number)
            if len(tokens) >= FEWEST:
                length = min(WORDS, len(tokens))
                pieces.setdefault(length, []).append((distinct(sequences(tokens, length)), len(self._numbers) - 1))
        tables = {length: _table(found) for length, found in sorted(pieces.items())}
        self._tables = {length: table for length, table in tables.items() if len(table.values)}
        self._sizes = np.zeros(len(self._numbers), dtype=np.int64)
        for table in self._tables.values():
            self._sizes += np.bincount(table.items, minlength=len(self._sizes))

    def __len__(self) -> int:
        return len(self._numbers)

    def find(self, texts: Iterable[str]) -> Iterator[Hit | None]:
        """For each text, the item that it holds most of, or None."""
        texts = iter(texts)
        while batch := list(itertools.islice(texts, _BATCH)):
            hits = [self._nearest(text) for text in batch]
            rest = [number for number, hit in enumerate(hits) if hit is None]
            for number, hit in zip(rest, self._contained([batch[number] for number in rest]), strict=True):
                hits[number] = hit
            yield from hits

    def _nearest(self, text: str) -> Hit | None:
        nearest = self._near.nearest(text)
        if nearest is None:
            return None
        return Hit(self._numbers[nearest[0]], "same" if nearest[1] == 1.0 else "near-duplicate", nearest[1])

    def _contained(self, texts: Sequence[str]) -> list[Hit | None]:
        """For each text, the item of which it holds the largest share: `SHARE` or more."""
        tokens = [hashed(text) for text in texts]
        # Between two texts stand blanks, which no sequence of an item holds.
        flat = as_numbers(_GAP.join(tokens))
        starts = np.cumsum([0, *(len(row + _GAP) // 8 for row in tokens)][: len(tokens)])
        best: list[Hit | None] = [None] * len(texts)
        for length, table in self._tables.items():
            rows, items, held = table.held(sequences(flat, length), starts)
            shares = held / self._sizes[items]
            for row, item, share in zip(rows.tolist(), items.tolist(), shares.tolist(), strict=True):
                known = best[row]
                if share >= SHARE and (known is None or share > known.share):
                    best[row] = Hit(self._numbers[item], "contained", share)
        return best


def _table(pieces: Sequence[tuple[Hashes, int]]) -> _Table:
    values = np.concatenate([found for found, _ in pieces])
    items = np.repeat(np.array([item for _, item in pieces]), [len(found) for found, _ in pieces])
    order = np.lexsort((items, values))
    values, items = values[order], items[order]
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    kept = counts[places] <= _COMMON
    return _Table(values[kept], items[kept])


def contaminated(texts: Iterable[str], benchmark: Benchmark) -> list[Hit | None]:
    """For each text, the benchmark item that it holds, or None."""
    return list(benchmark.find(texts))


def overlap(train: Iterable[str], held_out: Iterable[str]) -> list[tuple[int, int, Kind, float]]:
    """Training texts that hold a held-out one: (number in `train`, number in `held_out`, kind, share)."""
    benchmark = Benchmark(held_out, "held-out rows")
    hits = enumerate(contaminated(train, benchmark))
    return [(number, hit.item, hit.kind, hit.share) for number, hit in hits if hit is not None]


def decontaminate(records: Sequence[Record], uris: Sequence[str]) -> tuple[list[Record], list[Drop]]:
    """`records` without those that hold an item of the benchmark files `uris`, and those as drops (`contaminated`).

    Prompts of the benchmark are looked for in whole rows and in their prompts; its answers only from 8 words on, as
    `yes` is no sign. Files may have any layout; rows of them that cannot be read are passed over.

    Raises:
        InputError: a benchmark file is missing, has an unknown layout, or no row that can be read.
    """
    texts, places = _items(uris)
    benchmark = Benchmark(texts, ", ".join(uris))
    wholes = contaminated(map(whole_text, records), benchmark)
    prompts = contaminated([prompt_text(record) if answer_texts(record) else "" for record in records], benchmark)
    kept: list[Record] = []
    drops: list[Drop] = []
    for record, whole, prompt in zip(records, wholes, prompts, strict=True):
        hit = whole or prompt
        if hit is None:
            kept.append(record)
        else:
            drops.append(Drop("contaminated", record.source, f"{_says(hit)} {places[hit.item]}", record.id))
    return kept, drops


def _items(uris: Sequence[str]) -> tuple[list[str], list[str]]:
    """The texts of the benchmark's rows, and where each stands."""
    texts: list[str] = []
    places: list[str] = []
    for uri in uris:
        for record in load_records([uri], bad_rows="drop").records:
            answers = [answer for answer in answer_texts(record) if len(hashed(answer)) >= 8 * FEWEST]
            for text in (prompt_text(record), whole_text(record), *answers):
                texts.append(text)
                places.append(str(record.source))
    return texts, places


def _says(hit: Hit) -> str:
    if hit.kind == "same":
        return "the same words as"
    if hit.kind == "near-duplicate":
        return f"nearly the same ({hit.share:.0%}) as"
    return f"holds {hit.share:.0%} of"
