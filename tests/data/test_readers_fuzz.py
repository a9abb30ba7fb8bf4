"""Readers under arbitrary bytes: rows, drops or one clear message come out, nothing else, soon and in little memory."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affinage.data.ledger import Drop
from affinage.data.reading import blocks, decoding, opening
from affinage.data.reading.readers import read_rows
from affinage.data.reading.sources import DOCUMENTS, TABLES, TEXTS, WORKBOOKS, RawRow
from affinage.errors import InputError

PLAIN = tuple(suffix for suffix in (*TABLES, *TEXTS) if suffix not in WORKBOOKS)
SECONDS = 20.0


def outcome(name: str, content: bytes) -> list[RawRow | Drop] | str:
    """What reading gives: rows, or the message; anything else that is raised fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        started = time.monotonic()
        try:
            rows: list[RawRow | Drop] | str = list(read_rows([path], bad_rows="drop"))
        except InputError as error:
            rows = str(error)
            assert name in rows
        assert time.monotonic() - started < SECONDS
        return rows


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}

TABLE = pa.table({"text": ["a", "bb", None] * 50, "label": list(range(150)), "list": [["x", "y"]] * 150})


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(TABLE, sink, compression="zstd")
    return sink.getvalue()


def arrow(compression: str | None, stream: bool) -> bytes:
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with make(sink, TABLE.schema, options=options) as writer:
        writer.write_table(TABLE)
    return sink.getvalue()


def xlsx() -> bytes:
    book, sink = openpyxl.Workbook(), io.BytesIO()
    for row in (["text", "label"], ["a", 1], ["b", "=1/0"], ["c", "#REF!"]):
        book.active.append(row)
    book.save(sink)
    return sink.getvalue()


JSON_LIKE = st.lists(
    st.sampled_from(
        [b"{", b"}", b"[", b"]", b'"', b":", b",", b"\n", b"\r\n", b"NaN", b"1e999", b'{"text": "a"}', b"\\ud800", b" "]
    ),
    max_size=40,
).map(b"".join)
BYTES = st.one_of(st.binary(max_size=300), JSON_LIKE, st.text(max_size=80).map(lambda text: text.encode("utf-16-le")))


@settings(max_examples=150, deadline=None)
@given(suffix=st.sampled_from(PLAIN), content=BYTES)
def test_arbitrary_bytes_under_every_suffix(suffix: str, content: bytes) -> None:
    outcome(f"a{suffix}", content)


@settings(max_examples=80, deadline=None)
@given(suffix=st.sampled_from(PLAIN), packing=st.sampled_from(opening.PACKED), content=BYTES, cut=st.integers(0, 40))
def test_packed_bytes_and_their_truncations(suffix: str, packing: str, content: bytes, cut: int) -> None:
    packed = PACKERS[packing](content)
    result = outcome(f"a{suffix}{packing}", packed[: len(packed) - cut])
    if 0 < cut < len(packed):
        assert f"not a whole {'gzip' if packing == '.gz' else 'zstd' if packing == '.zst' else packing[1:]}" in result


@settings(max_examples=15, deadline=None)
@given(suffix=st.sampled_from(WORKBOOKS), content=BYTES)
def test_arbitrary_bytes_as_workbooks(suffix: str, content: bytes) -> None:
    assert isinstance(outcome(f"a{suffix}", content), str)


@pytest.mark.parametrize("suffix", DOCUMENTS)
def test_bytes_that_are_no_document(suffix: str) -> None:
    outcome(f"a{suffix}", bytes(range(256)) * 4)


@settings(max_examples=120, deadline=None)
@given(
    form=st.sampled_from(
        [(".parquet", parquet()), *((".arrow", arrow(c, s)) for c in (None, "zstd") for s in (False, True))]
    ),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), min_size=1, max_size=4),
)
def test_flipped_bytes_in_binary_tables(form: tuple[str, bytes], flips: list[tuple[float, int]]) -> None:
    suffix, content = form
    outcome(f"a{suffix}", flipped(content, flips))


@settings(max_examples=15, deadline=None)
@given(flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bytes_in_workbooks(flips: list[tuple[float, int]]) -> None:
    outcome("a.xlsx", flipped(xlsx(), flips))


def flipped(content: bytes, flips: list[tuple[float, int]]) -> bytes:
    changed = bytearray(content)
    for place, mask in flips:
        changed[int(place * len(changed))] ^= mask
    return bytes(changed)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".txt"])
@pytest.mark.parametrize("opening_sign", ["[", '{"a":', '[{"a":'])
def test_deep_nesting(suffix: str, opening_sign: str) -> None:
    depth = 100_000
    closing = "]" if opening_sign == "[" else "}" if opening_sign[0] == "{" else "}]"
    result = outcome(f"a{suffix}", (opening_sign * depth + "1" + closing * depth).encode())
    if suffix.startswith(".json"):
        assert "depth limit" in (result if isinstance(result, str) else str(result[0]))


def test_a_huge_line_is_dropped_without_being_held(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (decoding, blocks):
        monkeypatch.setattr(module, "LONGEST_LINE", 2 << 20)
    long = b'{"text": "' + b"x" * (4 << 20) + b'"}\n'
    rows = outcome("a.jsonl", b'{"text": 1}\n' + long + b'{"text": 2}\n' + long.strip())
    assert [type(row).__name__ for row in rows] == ["RawRow", "Drop", "RawRow", "Drop"]
    assert isinstance(rows[1], Drop)
    assert (rows[1].source.locator, rows[1].detail) == ("2", "a line longer than 256 MiB")
    assert "a.csv:2: a line longer than" in outcome("a.csv", b"text,label\n" + long)


def test_a_field_that_is_never_closed_does_not_swallow_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affinage.data.reading.tables.LONGEST_LINE", 1000)
    rows = outcome("a.csv", b'text,label\na,x\n"b,y\n' + b"c,z\n" * 400)
    assert [type(row).__name__ for row in rows[:3]] == ["RawRow", "Drop", "RawRow"]


def test_a_file_held_whole_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "WHOLE", 5000)
    content = b'[{"text": "' + b"x" * 5000 + b'"}]'
    for name, raw in (("a.json", content), ("a.txt", content), ("a.json.gz", gzip.compress(content))):
        assert "held in memory whole" in outcome(name, raw)
        assert "write JSON lines" in outcome(name, raw)
    lines = b'{"text": "abc"}\n' * 1000
    assert len(outcome("a.json", lines)) == 1000  # lines under the wrong name are read one by one


@pytest.mark.parametrize("packing", opening.PACKED)
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".txt", ".parquet", ".arrow", ".xlsx"])
def test_packed_bombs(monkeypatch: pytest.MonkeyPatch, packing: str, suffix: str) -> None:
    monkeypatch.setattr(opening, "_HARMLESS", 1_000_000)
    monkeypatch.setattr(opening, "_LARGEST_RATIO", 500)
    assert "possibly a bomb" in outcome(f"a{suffix}{packing}", bomb(packing))


@functools.cache
def bomb(packing: str) -> bytes:
    return PACKERS[packing](b"\n" + b"x" * 50_000_000)


@pytest.mark.parametrize("suffix", [".xlsx", ".ods"])
def test_zip_bombs_are_not_opened(monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    assert "possibly a zip bomb: 48 MiB out of" in outcome(f"a{suffix}", zipped(b"\0" * 50_000_000))
    monkeypatch.setattr(opening, "_LARGEST_ZIP", 1000)
    assert "possibly a zip bomb" in outcome(f"a{suffix}", zipped(bytes(range(256)) * 8))
    monkeypatch.setattr(opening, "_MOST_ZIP_ENTRIES", 0)
    assert "zip bomb: 1 entries" in outcome(f"a{suffix}", zipped(b""))


def zipped(content: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", content)
    return sink.getvalue()


MEASURED = """
import sys
from affinage.data.reading.readers import read_rows
from affinage.errors import InputError
import pyarrow.parquet

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])

before = peak()
try:
    count = sum(1 for row in read_rows(sys.argv[1:], bad_rows="drop"))
except InputError as error:
    count = str(error).splitlines()[0]
print(count, (peak() - before) // 1024, sep="\\t")
"""


def measured(path: Path) -> tuple[str, int]:
    """How many rows, or the message, and by how many MiB the process grew."""
    done = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, timeout=60)
    assert not done.stderr
    count, grown = done.stdout.strip().split("\t")
    return count, int(grown)


def test_memory_stays_flat_in_the_number_of_rows(tmp_path: Path) -> None:
    rows = 240_000
    text = "word " * 50
    lines = f'{{"text": "{text}"}}\n'.encode() * rows  # 64 MB
    (tmp_path / "a.jsonl.zst").write_bytes(PACKERS[".zst"](lines))
    table = pa.table({"text": [f"{text}{number}" for number in range(rows)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=rows // 4, compression="none", use_dictionary=False)
    for name, most in (("a.jsonl.zst", 24), ("a.parquet", 40)):
        count, grown = measured(tmp_path / name)
        assert (count, grown < most) == (str(rows), True), f"{name} grew by {grown} MiB"


def test_a_line_without_end_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(b"x" * (1 << 20))
    count, grown = measured(path)
    assert count == "1"
    assert grown < 330  # LONGEST_LINE and a little
