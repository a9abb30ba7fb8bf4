"""`affinage encode`: texts as vectors, one for each row, in order."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from affinage.cli.options import Device, Overwrite, Threads
from affinage.cli.output import Json, Screen, print_json
from affinage.errors import InputError

FORMATS = (".npy", ".parquet", ".jsonl")


def encode(
    data: Annotated[
        list[str], typer.Argument(help="Files, folders or `hub:owner/name` of texts, chats or labelled texts.")
    ],
    out: Annotated[Path, typer.Option(help="The file to write: .npy, .parquet or .jsonl.")],
    model: Annotated[str, typer.Option(help="A run folder, a model folder, a hub model, or `tiny`.")] = "tiny",
    pooling: Annotated[
        Literal["mean", "last", "first", "max"] | None,
        typer.Option(help="How a text's token encodings become one vector. Unset: the run's own, else mean."),
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option(help="Which block: 0 the embeddings, -1 the last. Unset: the run's own, else the last."),
    ] = None,
    too_long: Annotated[
        Literal["error", "truncate"] | None,
        typer.Option(help="A text longer than the context. Unset: the run's own way."),
    ] = None,
    column: Annotated[list[str] | None, typer.Option(metavar="ROLE=NAME", help="Which column holds what.")] = None,
    overwrite: Overwrite = False,
    device: Device = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Turn texts into vectors. Row n of the result is row n of the data."""
    from affinage.cli.inputs import read_items
    from affinage.files import write_bytes
    from affinage.recipe import parse_overrides

    _refuse(out, overwrite)
    columns = {role: str(name) for role, name in parse_overrides(column or []).items()}
    items = read_items(data, objective="encode", columns=columns)
    bad = [item for item in items if item.error]
    if bad:
        raise InputError(
            f"{bad[0].source}: {bad[0].error} ({len(bad):,} such rows)", fix="correct or remove these rows"
        )
    from affinage.use import load

    vectors = load(model, device=device, threads=threads, too_long=too_long).encode(
        [item.text for item in items], pooling, layer
    )
    ids = [item.id for item in items]
    write_bytes(out, _encoded(ids, vectors, out.suffix.lower()))
    Screen(as_json=as_json).say(f"wrote {out}: {vectors.shape[0]:,} vectors of {vectors.shape[1]:,} numbers")
    if as_json:
        print_json({"out": str(out), "rows": vectors.shape[0], "width": vectors.shape[1]})


def _refuse(out: Path, overwrite: bool) -> None:
    if out.suffix.lower() not in FORMATS:
        raise InputError(f"{out}: cannot write {out.suffix or 'no extension'}", fix=f"one of {', '.join(FORMATS)}")
    if out.is_dir() or (out.exists() and not overwrite):
        raise InputError(f"{out} exists", fix="name another --out, or replace it with --overwrite")


def _encoded(ids: Sequence[str], vectors: Any, suffix: str) -> bytes:
    sink = io.BytesIO()
    if suffix == ".npy":
        import numpy as np

        np.save(sink, vectors)
    elif suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        pq.write_table(pa.table({"id": list(ids), "vector": flat}), sink)
    else:
        import orjson

        options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
        for row, vector in zip(ids, vectors, strict=True):
            sink.write(orjson.dumps({"id": row, "vector": vector}, option=options))
    return sink.getvalue()
