"""Rows out of files, good and damaged."""

from __future__ import annotations

import gzip
import os
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from affinage.data.ledger import Drop
from affinage.data.readers import read_rows
from affinage.data.sources import RawRow, find
from affinage.errors import InputError

ROWS = [{"text": "a", "label": "x"}, {"text": "é", "label": "y"}]


def values(path: Path | str, **options: Any) -> list[dict[str, Any]]:
    return [row.values for row in read_rows([path], **options) if isinstance(row, RawRow)]


def parquet_bytes() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return bytes(sink.getvalue())


FORMS: dict[str, bytes] = {
    "a.jsonl": '{"text":"a","label":"x"}\n\n{"text":"é","label":"y"}'.encode(),
    "bom.ndjson": b"\xef\xbb\xbf" + '{"text":"a","label":"x"}\r\n{"text":"é","label":"y"}\r\n'.encode(),
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
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("packed", [False, True])
def test_every_form_gives_the_same_rows(tmp_path: Path, name: str, packed: bool) -> None:
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(FORMS[name], mtime=0) if packed else FORMS[name])
    assert values(path) == ROWS


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
    ("a.parquet", b"PAR1 no", "not a readable parquet file"),
    ("a.jsonl.gz", b"plain", "not a whole gzip file"),
    ("a.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 99, mtime=0)[:-12], "not a whole gzip file"),
    ("a.jsonl", b"", "the file is empty"),
    ("a.png", b"x", "text only"),
    ("a.docx", b"x", "unknown type of file '.docx'"),
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
    for name in ("b/2.jsonl", "a/1.csv", ".hidden/x.jsonl", "a/.x.jsonl", "README.md", "a/pic.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text\nx\n")
    found = find([tmp_path])
    assert found.uris == [str(tmp_path / "a/1.csv"), str(tmp_path / "b/2.jsonl")]
    assert len(found.notes) == 2
    assert ".png" in found.notes[0]
    assert "README.md" in found.notes[1]


def test_a_folder_of_texts_keeps_its_readme(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("hello")
    assert find([tmp_path]).uris == [str(tmp_path / "README.md")]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "gone.jsonl", "no such file"),
        (lambda folder: folder, "holds no files"),
        (lambda folder: (folder / "a.pdf").write_text("x") and folder, r"unknown types: \.pdf"),
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
        rows = HubRows([{"text": "a", "label": 1}, {"text": "b", "label": None}])
        rows.features = features
        return rows

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    return asked


def test_hub_names_reach_the_library_and_classes_get_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_hub(monkeypatch, {"text": object(), "label": ClassLabel()})
    assert values("hub:me/films:small@test") == [{"text": "a", "label": "pos"}, {"text": "b", "label": None}]
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
