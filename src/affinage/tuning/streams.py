"""Preparing a run on files too large for memory: a sample decides, the rest is read while training.

Rows are sampled at random places of the files. Some are held out, some are for validation, and some stand for the
training rows wherever those must be looked at first (the plan, the findings, the cheap baselines). Any row of the files
that says the same as a held-out or validation row is kept out of the training when it is met.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import orjson

from affinage.data.layouts.known import recognise
from affinage.data.layouts.layout import Layout
from affinage.data.ledger import Drop
from affinage.data.load import nothing_left
from affinage.data.reading.readers import read_source
from affinage.data.reading.sources import DOCUMENTS, HUB, Found, RawRow, find, suffix_of
from affinage.data.records import digest
from affinage.data.rendering.renderer import Renderer
from affinage.data.streams.spool import spool
from affinage.data.streams.stream import Reserved, RowStream, StreamSource
from affinage.data.streams.token_cache import TokenCache
from affinage.device import machine
from affinage.errors import InputError
from affinage.planning.plan import make_plan
from affinage.recipe import Recipe
from affinage.tuning.choice import choose, make_facts, make_renderer
from affinage.tuning.prepared import SIDES, Prepared, rows_by_id
from affinage.tuning.sampling import Sampled, sample
from affinage.wiring import OBJECTIVE_TABLE

LARGE = 256 << 20  # bytes, unpacked; larger data are read while training
_UNPACKED = 4  # times that a compressed file grows, about
_HEAD = 100  # rows that tell the layout


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


def prepare_streamed(recipe: Recipe) -> Prepared:
    """As `prepare`, on a sample of rows; the others are read while training.

    Raises:
        InputError: also where the rows are of a kind that must be held in memory.
    """
    _refuse_unseen(recipe)
    found = find(recipe.data)
    sources, layouts = open_sources(recipe, found)
    sampled = sample(sources, recipe)
    records = [record for side in SIDES for record in sampled.sides[side]]
    if not records:
        raise nothing_left(found.uris, sampled.drops)
    choice = choose(recipe, type(records[0]))
    entry = OBJECTIVE_TABLE[choice.objective]
    if entry.compares or not entry.language or recipe.folds not in (None, 1):
        raise InputError(
            f"objective {choice.objective}{' with folds' if recipe.folds else ''} holds its rows in memory",
            fix="--set stream=false, or a smaller sample of the data",
        )
    renderer = make_renderer(recipe, choice.base)
    rows, drops = renderer.rows(records)
    rows_of = rows_by_id(rows)
    kept = [record for record in records if record.id in rows_of]
    numbers = {record.id: number for number, record in enumerate(kept)}
    sides = {side: [numbers[r.id] for r in sampled.sides[side] if r.id in numbers] for side in SIDES}
    train_rows = [row for number in sides["train"] for row in rows_of[kept[number].id]]
    if not train_rows:
        raise InputError(f"{found.uris[0]}: too few rows to stream", fix="--set stream=false")
    reserved = len(sides["validation"]) + len(sides["held_out"])
    sizes = {side: len(of) for side, of in sides.items()} | {"train": max(1, sampled.rows - reserved)}
    here = machine(recipe.device, recipe.dtype, recipe.threads)
    facts = make_facts(recipe, choice, kept[0].kind, sampled.rows, sizes, train_rows, [], here)
    scale = sizes["train"] / len(sides["train"])
    facts = replace(facts, scale=scale, learned_tokens=round(scale * facts.learned_tokens))
    lenient = make_renderer(
        recipe.model_copy(update={"too_long": "drop"}) if recipe.too_long == "error" else recipe, choice.base
    )
    stream = make_stream(recipe, sources, lenient, sampled)
    return Prepared(
        recipe=recipe,
        objective=choice.objective,
        train=choice.train,
        base=choice.base,
        machine=here,
        renderer=renderer,
        records=kept,
        read=len(kept) + len(sampled.drops) + len(drops),
        drops=[*sampled.drops, *drops],
        layouts=layouts,
        notes=[*found.notes, *notes(stream, sampled)],
        labels=[],
        rows_of=rows_of,
        sides=sides,
        plan=make_plan(recipe, facts),
        redactions=sampled.redactions,
        stream=stream,
    )


def _refuse_unseen(recipe: Recipe) -> None:
    """What must look at all rows at once.

    Raises:
        InputError: the recipe asks for it.
    """
    asked = {
        "near_duplicates=drop": recipe.near_duplicates == "drop",
        "decontaminate": bool(recipe.decontaminate),
        "columns.group": "group" in recipe.columns,
        "columns.time": "time" in recipe.columns,
    }
    for key, wanted in asked.items():
        if wanted:
            raise InputError(
                f"{key} needs all rows in memory, and these are read while training",
                fix="--set stream=false, or a smaller sample of the data",
            )


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
        settings = orjson.dumps([recipe.columns, recipe.label_separator, recipe.redact], option=orjson.OPT_SORT_KEYS)
        copied = uri if path != uri else ""
        sources.append(StreamSource(path, layout, settings.decode(), redact=recipe.redact, uri=copied))
    if not sources:
        raise InputError(f"{recipe.data[0]}: no rows", fix="check that the file holds more than a header")
    return sources, layouts


def _is_row(row: RawRow | Drop) -> bool:
    return isinstance(row, RawRow)


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
        replace(source, times=weight / weights * total / size)
        for source, weight, size in zip(sources, recipe.mix, sizes, strict=True)
    ]


def notes(stream: RowStream, sampled: Sampled) -> Iterator[str]:
    """What a person should know of a streamed run."""
    looked = sum(map(len, sampled.sides.values()))
    yield f"streamed: {looked:,} of about {sampled.rows:,} rows were looked at, from random places; the rest is read later"
    yield f"shuffle: {stream.guarantee()}"
    yield "damaged or too long rows that are met later are dropped and counted in the ledger"
    yield "near-duplicates are not looked for: only rows that say the same stand on one side of the split"
