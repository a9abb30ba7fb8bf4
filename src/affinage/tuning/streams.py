"""Preparing a run on files too large for memory: a sample decides, the rest is read while training.

Rows are sampled at random places of the files. Some are held out, some are for validation, and some stand for the
training rows wherever those must be looked at first (the plan, the findings, the cheap baselines). Any row of the files
that says the same as a held-out or validation row is kept out of the training when it is met.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from affinage.data.layouts.known import Layout, recognise
from affinage.data.ledger import Drop
from affinage.data.reading.blocks import read_line
from affinage.data.reading.readers import read_source
from affinage.data.reading.sources import DOCUMENTS, HUB, Found, RawRow, find, suffix_of
from affinage.data.records import Chat, Record, Text, digest
from affinage.data.rendering.renderer import Renderer
from affinage.data.streams.spool import spool
from affinage.data.streams.stream import Reserved, RowStream, StreamSource
from affinage.data.streams.token_cache import TokenCache
from affinage.errors import InputError
from affinage.recipe import Recipe

LARGE = 256 << 20  # bytes, unpacked; larger data are read while training
_UNPACKED = 4  # times that a compressed file grows, about
_SAMPLED = 2000  # training rows that are looked at first
_HEAD = 100  # rows that tell the layout
HELD_OUT, VALIDATION = 1000, 500


@dataclass(frozen=True, slots=True)
class Sampled:
    """Records from random places, by side; `rows` is about how many the files hold."""

    sides: dict[str, list[Record]]
    drops: list[Drop]
    rows: int


def is_streamed(recipe: Recipe) -> bool:
    """Whether the data are read while training: asked for, or too large for memory."""
    if recipe.stream is not None:
        return recipe.stream
    found = find(recipe.data)
    if any(uri.startswith(HUB) or suffix_of(uri) in DOCUMENTS for uri in found.uris):
        return False
    plain = {".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".md", ".markdown"}
    sizes = (Path(uri).stat().st_size * (1 if Path(uri).suffix.lower() in plain else _UNPACKED) for uri in found.uris)
    return sum(sizes) > LARGE


def open_sources(recipe: Recipe, found: Found) -> tuple[list[StreamSource], dict[str, str]]:
    """The files as JSON lines with their layouts, and what the layouts say.

    Raises:
        InputError: a document, an unreadable file, or rows of no known layout.
    """
    sources, layouts = [], {}
    for uri in found.uris:
        if not uri.startswith(HUB) and suffix_of(uri) in DOCUMENTS:
            raise InputError(f"{uri}: documents are read whole, not streamed", fix="--set stream=false")
        path = spool(uri, bad_rows=recipe.bad_rows)
        head = list(itertools.islice((row for row in read_source(path, bad_rows="drop") if _is_row(row)), _HEAD))
        if not head:
            continue
        layout: Layout = recognise(
            [row for row in head if isinstance(row, RawRow)], recipe.columns, label_separator=recipe.label_separator
        )
        layouts[uri] = f"{layout.name}: {layout.description}"
        settings = orjson.dumps([recipe.columns, recipe.label_separator], option=orjson.OPT_SORT_KEYS)
        sources.append(StreamSource(path, layout, settings.decode()))
    if not sources:
        raise InputError(f"{recipe.data[0]}: no rows", fix="check that the file holds more than a header")
    return sources, layouts


def _is_row(row: RawRow | Drop) -> bool:
    return isinstance(row, RawRow)


def sample(sources: Sequence[StreamSource], recipe: Recipe) -> Sampled:
    """Rows from random places, each text on one side only."""
    sizes = [Path(source.path).stat().st_size for source in sources]
    rng = random.Random(f"sample-{recipe.seed}")
    drops: list[Drop] = []
    lines = read = 0
    records: dict[str, Record] = {}
    wanted = HELD_OUT + VALIDATION + _SAMPLED
    for _ in range(2 * wanted):
        (number,) = rng.choices(range(len(sources)), sizes)
        row, size = read_line(sources[number].path, rng.randrange(sizes[number]))
        lines, read = lines + 1, read + size
        for item in [row] if isinstance(row, Drop) else sources[number].layout.to_records(row):
            if isinstance(item, Drop):
                drops.append(item)
            else:
                records.setdefault(item.id, item)
        if len(records) >= wanted:
            break
    rows = max(len(records), round(sum(sizes) * lines / max(1, read)))
    return Sampled(_sides(list(records.values()), rows, recipe), drops, rows)


def _sides(records: list[Record], rows: int, recipe: Recipe) -> dict[str, list[Record]]:
    """Whole keys to each side; a small file gives a smaller part of itself."""
    share = min(0.2 * rows, max(100.0, 0.05 * rows), float(HELD_OUT))
    room = {
        "held_out": min(_count(recipe.held_out, share, rows), HELD_OUT),
        "validation": min(_count(recipe.validation, share / 2, rows), VALIDATION),
    }
    sides: dict[str, list[Record]] = {"held_out": [], "validation": [], "train": []}
    by_key: dict[str, str] = {}
    for record in records:
        side = by_key.get(record.split_key)
        if side is None:
            side = next((name for name, limit in room.items() if len(sides[name]) < limit), "train")
            by_key[record.split_key] = side
        sides[side].append(record)
    return sides


def _count(asked: float | None, derived: float, rows: int) -> int:
    if asked is None:
        return max(1, round(derived))
    return round(asked if asked >= 1 else asked * rows)


def make_stream(recipe: Recipe, sources: Sequence[StreamSource], renderer: Renderer, sampled: Sampled) -> RowStream:
    """The stream of all other rows. Damaged and too long rows that it meets are dropped and counted: a run that has
    learned for hours does not fail on one of them.
    """
    reserved = [record for side in ("held_out", "validation") for record in sampled.sides[side]]
    keys = frozenset(digest(record.split_key) for record in reserved)
    kept_out = Reserved(keys, frozenset(record.id for record in reserved))
    return RowStream(_weighted(sources, recipe), renderer, kept_out, TokenCache(), recipe.seed, bad_rows="drop")


def _weighted(sources: Sequence[StreamSource], recipe: Recipe) -> list[StreamSource]:
    """How often each source's rows are drawn, so that its share of the bytes is what `mix` says."""
    if not recipe.mix:
        return list(sources)
    if len(recipe.mix) != len(sources):
        raise InputError(f"mix names {len(recipe.mix)} weights for {len(sources)} sources", fix="one weight a source")
    sizes = [Path(source.path).stat().st_size for source in sources]
    total, weights = sum(sizes), sum(recipe.mix)
    return [
        StreamSource(source.path, source.layout, source.columns, weight / weights * total / size)
        for source, weight, size in zip(sources, recipe.mix, sizes, strict=True)
    ]


def plain_text(records: Sequence[Record]) -> bool:
    """Whether these are kinds that can be streamed."""
    return all(isinstance(record, Text | Chat) for record in records)


def notes(stream: RowStream, sampled: Sampled) -> Iterator[str]:
    """What a person should know of a streamed run."""
    looked = sum(map(len, sampled.sides.values()))
    yield f"streamed: {looked:,} of about {sampled.rows:,} rows were looked at, from random places; the rest is read later"
    yield f"shuffle: {stream.guarantee()}"
    yield "damaged or too long rows that are met later are dropped and counted in the ledger"
