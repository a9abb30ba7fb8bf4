"""Files read in blocks: the same rows as read from front to back."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affinage.data.ledger import Drop
from affinage.data.reading import blocks as module
from affinage.data.reading.blocks import blocks, is_lines, line_count, line_of, read_block, read_line
from affinage.data.reading.json_rows import read_json_lines
from affinage.data.reading.sources import RawRow
from affinage.errors import InputError

LINES = st.lists(
    st.one_of(
        st.integers(0, 60).map(lambda size: b'{"text": "%s"}' % (b"x" * size)),
        st.sampled_from([b"", b" ", b"\t\r", b"\xef\xbb\xbf", b'{"a": ', b"7", b'{"text": "caf\xe9"}', b'{"b": 1}\r']),
    ),
    max_size=30,
)


def facts(row: RawRow | Drop) -> tuple[object, ...]:
    return (row.values,) if isinstance(row, RawRow) else (row.reason, row.detail, row.record_id)


@settings(max_examples=300, deadline=None)
@given(
    lines=LINES,
    size=st.integers(1, 80),
    end=st.sampled_from([b"", b"\n"]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
def test_blocks_together_are_the_file(lines: list[bytes], size: int, end: bytes, mark: bytes) -> None:
    content = mark + b"\n".join(lines) + end
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.jsonl")
        path.write_bytes(content)
        whole = list(read_json_lines(str(path)))
        parts = [list(read_block(block)) for block in blocks(str(path), size)]
        together = [row for part in parts for row in part]
        assert list(map(facts, together)) == list(map(facts, whole))
        # Each is called after the byte that it begins at, which is on the line that the other way names.
        for row, same in zip(together, whole, strict=True):
            offset = int(row.source.locator.removeprefix("byte "))
            assert line_of(str(path), offset) == int(same.source.locator)
        counts = [line_count(str(path), block.start, block.end) for block in blocks(str(path), size)]
        assert counts == list(map(len, parts))
        assert line_count(str(path), 0, len(content)) == len(whole)


def test_counting_in_pieces_and_around_their_borders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 7)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n' * 20 + b"\n \n" + b'{"a": 2}\r\n' * 20 + b'{"a": 3}')
    assert line_count(str(path), 0, path.stat().st_size) == 41
    assert line_count(str(path), 1, 10) == 1
    assert line_count(str(path), 1, 9) == 0


def test_a_line_longer_than_a_block_belongs_to_the_block_it_begins_in(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"text": "' + "x" * 500 + '"}\n{"a": 2}\n')
    parts = [len(list(read_block(block))) for block in blocks(str(path), 50)]
    assert parts[0] == 2
    assert sum(parts) == 3
    assert parts.count(0) == len(parts) - 2


def test_a_line_too_long_to_be_held_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_LINE", 1000)
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"text": "' + "x" * 100_000 + '"}\n{"a": 2}\n')
    rows = [row for block in blocks(str(path), 5000) for row in read_block(block)]
    assert [type(row) for row in rows] == [RawRow, Drop, RawRow]
    assert isinstance(rows[1], Drop)
    assert (rows[1].reason, rows[1].source.locator) == ("malformed", "byte 9")


def test_a_line_from_any_place(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 0}\n\n{"a": 1}\n{"a": 22}\n')
    found = [read_line(str(path), offset) for offset in range(path.stat().st_size)]
    values = [row.values["a"] for row, _ in found if isinstance(row, RawRow)]
    assert values == [1] * 10 + [22] * 9 + [0] * 10
    assert {row.values["a"]: size for row, size in found if isinstance(row, RawRow)} == {0: 9, 1: 9, 22: 10}
    path.write_text("\n\n")
    with pytest.raises(InputError, match="no rows"):
        read_line(str(path), 0)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jsonl", b' [{"a": 1}]'), ("a.jsonl", '{"a": 1}\n'.encode("utf-16")), ("a.jsonl.gz", b"\x1f\x8b")],
)
def test_what_cannot_be_read_from_the_middle_is_told(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert not is_lines(str(path))
    with pytest.raises(InputError, match="cannot be read from the middle"):
        blocks(str(path))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        blocks(str(tmp_path / "gone.jsonl"))
