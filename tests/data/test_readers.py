"""Rows out of files, good and damaged."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import itertools
import lzma
import os
import sys
import types
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from affinage.data.documents import reading
from affinage.data.ledger import Drop
from affinage.data.reading.readers import read_rows, read_source
from affinage.data.reading.sources import DOCUMENTS, TABLES, TEXTS, RawRow, find, is_text
from affinage.errors import InputError

ROWS = [{"text": "a", "label": "x"}, {"text": "é", "label": "y"}]


def values(path: Path | str, **options: Any) -> list[dict[str, Any]]:
    return [row.values for row in read_rows([path], **options) if isinstance(row, RawRow)]


def parquet_bytes() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return bytes(sink.getvalue())


def arrow_bytes(make: Callable[..., Any]) -> bytes:
    table, sink = pa.Table.from_pylist(ROWS), pa.BufferOutputStream()
    with make(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


FORMS: dict[str, bytes] = {
    "a.jsonl": '{"text":"a","label":"x"}\n\n{"text":"é","label":"y"}'.encode(),
    "bom.ndjson": b"\xef\xbb\xbf" + '{"text":"a","label":"x"}\r\n{"text":"é","label":"y"}\r\n'.encode(),
    "no-mark.jsonl": '{"text":"a","label":"x"}\n{"text":"é","label":"y"}\n'.encode("utf-16-be"),
    "no-mark.json": '[{"text":"a","label":"x"},{"text":"é","label":"y"}]'.encode("utf-32-le"),
    "no-mark.csv": "text,label\na,x\né,y\n".encode("utf-16-le"),
    "wide.json": '[{"text":"a","label":"x"},{"text":"é","label":"y"}]'.encode("utf-16"),
    "wide.jsonl": '{"text":"a","label":"x"}\n{"text":"é","label":"y"}\n'.encode("utf-16"),
    "list.jsonl": '[{"text":"a","label":"x"},\n{"text":"é","label":"y"}]'.encode(),
    "list.json": '[{"text":"a","label":"x"},{"text":"é","label":"y"}]'.encode(),
    "held.json": '{"version":1,"data":[{"text":"a","label":"x"},{"text":"é","label":"y"}]}'.encode(),
    "lines.json": '{"text":"a","label":"x"}\n{"text":"é","label":"y"}\n'.encode(),
    "a.csv": "text,label\na,x\né,y\n".encode(),
    "bom.csv": "\ufefftext,label\r\na,x\r\né,y\r\n".encode(),
    "wide.csv": "text,label\na,x\né,y\n".encode("utf-16"),
    "semicolon.csv": "text;label\na;x\né;y\n".encode(),
    "spaced.csv": 'text, label\na, "x"\né, y\n'.encode(),
    "mac.csv": "text,label\ra,x\ré,y\r".encode(),
    "a.tsv": "text\tlabel\na\tx\né\ty\n".encode(),
    "a.parquet": parquet_bytes(),
    "a.arrow": arrow_bytes(pa.ipc.new_file),
    "stream.arrow": arrow_bytes(pa.ipc.new_stream),
    "a.feather": arrow_bytes(pa.ipc.new_file),
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("packing", PACKERS)
def test_every_form_gives_the_same_rows(tmp_path: Path, name: str, packing: str) -> None:
    path = tmp_path / f"{name}{packing}"
    path.write_bytes(PACKERS[packing](FORMS[name]))
    assert values(path) == ROWS


@pytest.mark.parametrize("packing", [".gz", ".zst", ".bz2", ".xz"])
def test_packed_parts_one_behind_the_other_are_all_read(tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"a.jsonl{packing}"
    path.write_bytes(b"".join(PACKERS[packing](b'{"text": "%d"}\n' % number) for number in range(3)))
    assert [row["text"] for row in values(path)] == ["0", "1", "2"]


def test_tables_give_json_values(tmp_path: Path) -> None:
    moment = dt.datetime(2020, 1, 2, 3, 4, 5)
    table = pa.table(
        {
            "day": [dt.date(2020, 1, 2)],
            "fine": pa.array([1577934245000000001], pa.timestamp("ns")),
            "held": [{"when": [moment], "price": Decimal("2.50"), "whole": Decimal("3")}],
            "bytes": pa.array([b"caf\xc3\xa9"]),
            "raw": pa.array([b"\xff\xfe"]),
            "class": pa.array(["x"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    expected = {
        "day": "2020-01-02",
        "fine": "2020-01-02T03:04:05",
        "held": {"when": ["2020-01-02T03:04:05"], "price": 2.5, "whole": 3},
        "bytes": "café",
        "raw": b"\xff\xfe",
        "class": "x",
    }
    assert values(tmp_path / "a.parquet") == [expected]
    assert values(tmp_path / "a.arrow") == [expected]


def test_a_document_is_one_row_of_text_and_a_broken_one_is_counted(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html><body><h1>Cheese</h1><p>It ripens in the cellar for weeks.</p></body>")
    (tmp_path / "note.txt").write_text("plain")
    (tmp_path / "torn.docx").write_bytes(b"PK no")
    found = find([tmp_path]).uris
    assert [Path(uri).name for uri in found] == ["note.txt", "page.html", "torn.docx"]
    assert all(map(is_text, found))
    rows = list(read_rows(found, bad_rows="drop"))
    assert [type(row).__name__ for row in rows] == ["RawRow", "RawRow", "Drop"]
    assert isinstance(rows[1], RawRow)
    assert "It ripens in the cellar for weeks." in rows[1].values["text"]
    with pytest.raises(InputError, match=r"torn\.docx: "):
        list(read_rows(found))


def test_the_documents_are_those_that_can_be_read() -> None:
    assert set(DOCUMENTS) == set(reading.SUFFIXES) - set(TEXTS) - set(TABLES)


def test_locators_name_the_line_on_which_a_row_begins(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,label\n"two\nlines",x\nb,y\n')
    (tmp_path / "a.jsonl").write_text('\n{"text": 1}\n\n{"text": 2}\n')
    rows = list(read_rows([tmp_path / "a.csv", tmp_path / "a.jsonl"]))
    assert [row.source.locator for row in rows] == ["2", "4", "2", "4"]
    assert isinstance(rows[0], RawRow)
    assert rows[0].values["text"] == "two\nlines"


def test_a_text_file_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\n\r\ntwo")
    assert values(tmp_path / "a.txt") == [{"text": "one\n\ntwo"}]


def test_a_long_field_and_bare_quotes_in_a_tsv_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n" + "word " * 60_000 + ",x\n")
    (tmp_path / "a.tsv").write_text('text\tlabel\n"Good" film\tx\nbad\ty\n')
    assert len(values(tmp_path / "a.csv")[0]["text"]) == 300_000
    assert values(tmp_path / "a.tsv")[0]["text"] == '"Good" film'


def test_one_object_holding_messages_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"messages": [{"role": "user", "content": "hi"}]}')
    assert len(values(tmp_path / "a.json")) == 1


DAMAGED: list[tuple[str, bytes, str]] = [
    ("a.jsonl", b'{"text": "a"}\n{"text": "b"\n', r"a\.jsonl:2: column \d+, not valid JSON"),
    ("a.jsonl", b'{"text": "a"}\n{"text": "caf\xe9"}\n', r"a\.jsonl:2: column 14, not UTF-8 \(byte 0xe9\)"),
    ("a.jsonl", b'{"x": NaN}', r"a\.jsonl:1: column 7, not valid JSON: NaN is not JSON; write null"),
    ("a.jsonl", b'{"x": -Infinity}', "-Infinity is not JSON; write null"),
    ("a.jsonl", '{"é": True}'.encode(), "True is Python, not JSON; write true, false or null"),
    ("a.jsonl", b"{'x': 1}", "strings and keys stand in double quotes"),
    ("a.jsonl", b'{"x": 1}{"x": 2}', "a second value follows the first; one object a line"),
    ("a.jsonl", b'{"x": 1,}', "trailing comma"),
    ("a.json", '[{"é": 1},\n {"é": NaN}]'.encode(), r"a\.json:2: column 8, not valid JSON: NaN is not JSON"),
    ("a.jsonl", b'{"text": "a"}\n[1]\n', r"a\.jsonl:2: a row is an object, found a list"),
    ("a.json", b'[{"text": "a"},\n {"text": }]', r"a\.json:2: column \d+, not valid JSON"),
    ("a.json", b"7", "holds one number, not rows"),
    ("a.json", b'{"train": [{"a": 1}], "test": [{"a": 2}]}', r"several lists of rows \(train, test\)"),
    ("a.csv", b"text,label\na,x\ncaf\xe9,y\n", r"a\.csv:3: column 4, not UTF-8"),
    ("a.csv", b'text,label\n"a,x\nb,y\n', r"a\.csv:2: .*quotation mark"),
    ("a.csv", b"text,label\nhello, you,x\n", r"a\.csv:2: 3 fields, but the header names 2"),
    ("a.csv", b"text,text\na,b\n", r"a\.csv:1: the header names 'text' twice"),
    ("a.txt", b"one\ntw\xf4\n", r"a\.txt:2: column 3, not UTF-8"),
    ("a.txt", b"one\x00two", "binary file"),
    ("a.csv", "text,label\nпривет как дела,x\n".encode("cp1251"), r"a\.csv:2: column 1, .*probably WINDOWS-1251"),
    ("a.csv", "名前,年齢\n高橋淳子,30\n".encode("cp932"), r"a\.csv:1: column 1, .*probably SHIFT_JIS"),
    ("a.txt", "今天天气很好".encode("gb18030"), r"a\.txt:1: column 1, .*probably GB18030"),
    ("a.txt", "안녕하세요 오늘".encode("euc_kr"), "probably EUC-KR"),
    ("a.txt", "今天天氣很好".encode("big5"), "probably BIG5"),
    ("a.txt", "un été à la plage".encode("cp1252"), "probably WINDOWS-1252.*\n.*iconv -f WINDOWS-1252"),
    ("a.jsonl", b'{"text": "caf\xe9 au lait"}', "probably WINDOWS-1252"),
    ("a.jsonl", '{"text": "a"}'.encode("utf-16")[:-1], "not valid UTF-16"),
    ("a.csv", b"," * 30_000, "a header of 30,001 columns"),
    ("a.parquet", b"PAR1 no", "not a readable parquet file"),
    ("a.arrow", b"ARROW1\0\0 no", "not a readable Arrow file"),
    ("a.feather", b"FEA1" + bytes(20), "Feather's first format"),
    ("a.jsonl.zst", b"plain", "not a whole zstd file"),
    ("a.jsonl.bz2", bz2.compress(b"{}")[:-2], "not a whole bz2 file"),
    ("a.jsonl.xz", b"plain", "not a whole xz file"),
    ("a.jsonl.gz", b"plain", "not a whole gzip file"),
    ("a.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 99, mtime=0)[:-12], "not a whole gzip file"),
    ("a.jsonl", b"", "the file is empty"),
    ("a.png", b"x", "text only"),
    ("a.doc", b"x", "unknown type of file '.doc'"),
    ("a.pdf.gz", b"x", "a packed document"),
    ("noext", b"x", "no extension"),
]


@pytest.mark.parametrize(("name", "content", "message"), DAMAGED)
def test_damage_is_one_clear_message(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_rows([tmp_path / name]))


def test_bad_rows_can_be_dropped_and_the_rest_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a"}\n{"text"\n"caf\xe9"\n[1]\n{"text": "b"}\n')
    (tmp_path / "b.csv").write_text("text,label\na,x\nb,y,z\nc,x\n")
    rows = list(read_rows([tmp_path / "a.jsonl", tmp_path / "b.csv"], bad_rows="drop"))
    dropped = [(row.reason, row.source.locator) for row in rows if isinstance(row, Drop)]
    assert dropped == [("malformed", "2"), ("malformed", "3"), ("wrong-type", "4"), ("malformed", "3")]
    assert len(rows) == 8


def test_a_folder_is_read_sorted_without_hidden_files_and_notes_about_the_data(tmp_path: Path) -> None:
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere.jsonl")
    for name in ("b/2.jsonl", "a/1.csv", ".hidden/x.jsonl", "a/.x.jsonl", "README.md", "a/pic.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text\nx\n")
    found = find([tmp_path])
    assert found.uris == [str(tmp_path / "a/1.csv"), str(tmp_path / "b/2.jsonl")]
    assert len(found.notes) == 3
    assert ".png" in found.notes[0]
    assert "gone.jsonl" in found.notes[1]
    assert "README.md" in found.notes[2]


def test_a_folder_of_texts_keeps_its_readme(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("hello")
    assert find([tmp_path]).uris == [str(tmp_path / "README.md")]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "gone.jsonl", "no such file"),
        (lambda folder: folder, "holds no files"),
        (lambda folder: (folder / "a.rtf").write_text("x") and folder, r"unknown types: \.rtf"),
        (lambda folder: os.mkfifo(folder / "a.jsonl") or folder / "a.jsonl", "a pipe or a device"),
    ],
)
def test_nothing_to_read_is_told(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(InputError, match=message):
        find([make(tmp_path)])
    with pytest.raises(InputError, match="no data named"):
        find([])


def test_a_folder_or_file_without_permission_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text("{}")

    def refuse(path: Any, *args: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refuse)
        with pytest.raises(InputError, match="cannot read the folder: Permission denied"):
            find([tmp_path])
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(InputError, match="cannot read: Permission denied"):
        list(read_rows([tmp_path / "a.jsonl"]))


class ClassLabel:
    def int2str(self, number: int) -> str:
        return ("neg", "pos")[number]


class Several:
    feature = ClassLabel()


class Image:
    pass


class HubRows(list[dict[str, Any]]):
    features: dict[str, object]


def fake_hub(monkeypatch: pytest.MonkeyPatch, features: dict[str, object], fault: Exception | None = None) -> list[Any]:
    asked: list[Any] = []

    def load_dataset(name: str, config: str | None, *, split: str) -> HubRows:
        asked.append((name, config, split))
        if fault:
            raise fault
        rows = HubRows([{"text": "a", "label": 1, "all": [0, 1]}, {"text": "b", "label": None, "all": None}])
        rows.features = features
        return rows

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    return asked


def test_hub_names_reach_the_library_and_classes_get_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_hub(monkeypatch, {"text": object(), "label": ClassLabel(), "all": Several()})
    expected = [{"text": "a", "label": "pos", "all": ["neg", "pos"]}, {"text": "b", "label": None, "all": None}]
    assert values("hub:me/films:small@test") == expected
    assert values("hub:me/films")
    assert asked == [("me/films", "small", "test"), ("me/films", None, "train")]


def test_hub_faults_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_hub(monkeypatch, {"photo": Image()})
    with pytest.raises(InputError, match=r"text only \(column photo\)"):
        values("hub:me/films")
    with pytest.raises(InputError, match="not a hub name"):
        values("hub:")
    fake_hub(monkeypatch, {}, fault=ConnectionError("no route\nmore"))
    with pytest.raises(InputError, match="cannot load from the hub: no route"):
        values("hub:me/films")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"affinage\[hub\]"):
        values("hub:me/films")


@pytest.mark.real
def test_json_suite_never_gives_a_traceback(shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "case"
    outcomes = {"rows": 0, "told": 0}
    with zipfile.ZipFile(shared / "data/json_test_suite/test_parsing_a.zip") as archive:
        for name in archive.namelist():
            for suffix in (".json", ".jsonl"):
                target = path.with_suffix(suffix)
                target.write_bytes(archive.read(name))
                try:
                    list(read_rows([target], bad_rows="error"))
                    outcomes["rows"] += 1
                except InputError:
                    outcomes["told"] += 1
    assert outcomes["rows"] > 20
    assert outcomes["told"] > 100


@pytest.mark.real
def test_every_real_file_gives_rows_or_one_clear_message(shared: Path) -> None:
    outcomes: dict[str, list[str]] = {"rows": [], "nothing": [], "told": [], "not named": []}
    for path in sorted(file for file in (shared / "data").rglob("*") if file.is_file()):
        try:
            rows = list(itertools.islice(read_source(find([path]).uris[0]), 300))
            outcomes["rows" if any(isinstance(row, RawRow) for row in rows) else "nothing"].append(path.name)
        except InputError as error:
            outcomes["told" if str(path) in str(error) else "not named"].append(path.name)
    assert not outcomes["not named"]
    assert len(outcomes["rows"]) > 130
    assert set(outcomes["nothing"]) <= {"libreoffice.xlsx", "unicode_sheet_name.xls", "utf8bom.csv"}
    assert {"test_mskanji.csv", "characters.csv", "spanish_chars.csv", "test.rtf"} <= set(outcomes["told"])
