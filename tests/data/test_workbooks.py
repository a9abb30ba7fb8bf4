"""Rows out of spreadsheets: typed cells, several sheets, what is empty or broken in them, and hostile ones."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import re
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from affinage.data.reading import workbook_parts, workbooks
from affinage.data.reading.readers import read_source
from affinage.data.reading.sources import RawRow
from affinage.errors import InputError

Sheets = dict[str, Iterable[Iterable[Any]]]


def write(path: Path, sheets: Sheets) -> Path:
    """A workbook with these rows on its sheets."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    return path


def read(path: Path) -> tuple[list[tuple[str, dict[str, Any]]], list[str]]:
    """(locator, values) of each row, and the notes."""
    notes: list[str] = []
    rows = [row for row in read_source(str(path), notes=notes) if isinstance(row, RawRow)]
    return [(row.source.locator, row.values) for row in rows], [note.removeprefix(f"{path}: ") for note in notes]


def test_cells_keep_their_types(tmp_path: Path) -> None:
    day, moment = dt.date(2020, 1, 2), dt.datetime(2020, 1, 2, 3, 4, 5)
    rows = [["text", "n", "x", "flag", "day", "moment", "time"], ["é", 3, 2.5, True, day, moment, dt.time(3, 4)]]
    found, notes = read(write(tmp_path / "a.xlsx", {"Sheet1": rows}))
    expected = ["é", 3, 2.5, True, "2020-01-02", "2020-01-02T03:04:05", "03:04:00"]
    assert [list(values.values()) for _, values in found] == [expected]
    assert [type(value) for value in found[0][1].values()] == [str, int, float, bool, str, str, str]
    assert notes == []


def test_a_column_that_holds_text_gives_its_numbers_as_text(tmp_path: Path) -> None:
    rows = [["text", "label"], ["a", 1], [2011, 2], [True, 3], [None, 4], [2.5, 5]]
    found, _ = read(write(tmp_path / "a.xlsx", {"Sheet1": rows}))
    assert [values["text"] for _, values in found] == ["a", "2011", "TRUE", None, "2.5"]
    assert [values["label"] for _, values in found] == [1, 2, 3, 4, 5]


def test_each_sheet_has_its_own_header_wherever_it_stands(tmp_path: Path) -> None:
    sheets: Sheets = {
        "First": [[], [], [None, None, "text", "label"], [], [None, None, "a", "x"], [], [None, None, "b", None]],
        "Second": [["text", None, "more"], ["c", "unnamed", 1]],
    }
    found, notes = read(write(tmp_path / "a.xlsx", sheets))
    assert found == [
        ("First!5", {"text": "a", "label": "x"}),
        ("First!7", {"text": "b", "label": None}),
        ("Second!2", {"text": "c", "column 2": "unnamed", "more": 1}),
    ]
    assert notes == []


def test_what_is_left_aside_is_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xlsx", {"Full": [["text"], ["a"]], "Empty": [], "Head": [["text"]], "Away": [["x"]]})
    book = openpyxl.load_workbook(path)
    book["Away"].sheet_state = "hidden"
    book.create_chartsheet("Chart").add_chart(openpyxl.chart.BarChart())
    book.save(path)
    found, notes = read(path)
    assert found == [("Full!2", {"text": "a"})]
    assert notes == [
        "sheet 'Empty' left aside: empty",
        "sheet 'Head' left aside: no rows under its header",
        "sheet 'Away' left aside: hidden",
        "sheet 'Chart' left aside: no cells but a chart or a macro",
    ]


def test_formulas_give_their_stored_value_and_errors_are_counted(tmp_path: Path) -> None:
    rows = [["text", "sum", "wrong", "bare"], ["a", "=1+1", "#REF!", "=2+2"], ["b", "=2+1", "#DIV/0!", 7]]
    path = write(tmp_path / "a.xlsx", {"Sheet1": rows})

    def calculated(sheet: bytes) -> bytes:
        for formula, value in ((b"1+1", b"2"), (b"2+1", b"3")):
            sheet = sheet.replace(formula + b"</f><v></v>", formula + b"</f><v>" + value + b"</v>")
            sheet = sheet.replace(formula + b"</f><v />", formula + b"</f><v>" + value + b"</v>")
        return sheet

    rewrite(path, calculated)
    found, notes = read(path)
    assert [list(values.values()) for _, values in found] == [["a", 2, None, None], ["b", 3, None, 7]]
    assert notes == ["read as empty: 2 cells that hold an error, 1 formulas without a stored value"]


def rewrite(path: Path, change: Callable[[bytes], bytes], part: str = "xl/worksheets/sheet1.xml") -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    changed = change(parts[part])
    assert changed != parts[part]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**parts, part: changed}.items():
            archive.writestr(name, content)


def test_a_pasted_error_is_no_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xlsx", {"Sheet1": [["text", "n"], ["a", 1], ["N/A", 2]]})
    rewrite(path, lambda sheet: sheet.replace(b"<t>N/A</t>", b"<t>#N/A</t>"))
    found, notes = read(path)
    assert [values["text"] for _, values in found] == ["a", None]
    assert notes == ["read as empty: 1 cells that hold an error"]


def test_packed_and_misnamed_workbooks_are_read(tmp_path: Path) -> None:
    content = write(tmp_path / "a.xlsx", {"Sheet1": [["text"], ["a"]]}).read_bytes()
    (tmp_path / "b.xlsx.gz").write_bytes(gzip.compress(content))
    (tmp_path / "c.xls").write_bytes(content)
    for name in ("b.xlsx.gz", "c.xls"):
        assert read(tmp_path / name)[0] == [("Sheet1!2", {"text": "a"})]


def test_a_reader_may_stop_early(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xlsx", {"Sheet1": [["text"], *([f"row {number}"] for number in range(5000))]})
    rows = read_source(str(path))
    assert next(iter(rows)).source.locator == "Sheet1!2"
    rows.close()  # type: ignore[attr-defined]
    assert len(read(path)[0]) == 5000


def test_a_name_that_stands_twice_is_told_with_its_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xlsx", {"Two": [["text", "text"], ["a", "b"]]})
    with pytest.raises(InputError, match=r"a\.xlsx:Two!1: the header names 'text' twice"):
        read(path)


def test_no_workbook_and_a_locked_one_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_text("text,label\na,x\n")
    with pytest.raises(InputError, match=r"a\.xlsx: not a readable workbook"):
        read(tmp_path / "a.xlsx")


def test_two_cells_in_far_corners_do_not_stop_the_process(tmp_path: Path) -> None:
    book, path = openpyxl.Workbook(), tmp_path / "a.xlsx"
    book.active["A1"], book.active["XFD1048576"] = "text", "x"
    book.save(path)
    assert path.stat().st_size < 10_000
    with pytest.raises(InputError, match="spans 1,048,576 rows and 16,384 columns, more than 100,000,000 cells"):
        read(path)


def test_a_part_that_promises_too_much_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xlsx", {"Sheet1": [["text"], ["a"]]})
    rewrite(path, lambda part: re.sub(rb" count=\"\d+\"", b' count="99999999999"', part), "xl/styles.xml")
    with pytest.raises(InputError, match=r"styles\.xml says that it has 99,999,999,999 entries, and has not"):
        read(path)


def test_what_is_lost_is_counted_over_the_borders_of_what_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.xlsx", {"Sheet1": [["text", "n"], *(["a", "=1+1"] for _ in range(500))]})
    for chunk in (1500, 4096, 1 << 20):
        monkeypatch.setattr(workbook_parts, "_CHUNK", chunk)
        with path.open("rb") as file:
            assert workbook_parts.look_over(file, 1002) == {"formulas": 500}
        with path.open("rb") as file, pytest.raises(workbook_parts.RefusedError, match="501 rows and 2 columns"):
            workbook_parts.look_over(file, 1001)


def test_time_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = tmp_path / "endless.py"
    endless.write_text(workbooks._PROGRAM.read_text().replace("lost = look_over(file, cells)", "while True: pass"))
    monkeypatch.setattr(workbooks, "_PROGRAM", endless)
    monkeypatch.setattr(workbooks, "_SECONDS", 1)
    with pytest.raises(InputError, match="1 s to read"):
        read(write(tmp_path / "a.xlsx", {"Sheet1": [["text"], ["a"]]}))


def test_sizes_that_lie_are_met_by_the_limit_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbooks, "_MEMORY", 512 << 20)
    path = write(tmp_path / "a.xlsx", {"Sheet1": [["text"], ["a"]]})
    rewrite(path, lambda sheet: sheet.replace(b"<t>a</t>", b"<t>" + b"a" * 300_000_000 + b"</t>"))
    content = path.read_bytes()
    size = len(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        true = archive.getinfo("xl/worksheets/sheet1.xml").file_size
    path.write_bytes(content.replace(true.to_bytes(4, "little"), (5000).to_bytes(4, "little")))
    assert path.stat().st_size == size
    with pytest.raises(InputError, match=r"a\.xlsx: "):
        read(path)


@pytest.mark.real
@pytest.mark.parametrize("name", ["simple.xlsx", "simple.xls", "simple.ods"])
def test_real_workbooks_of_every_format(shared: Path, name: str) -> None:
    found, notes = read(shared / "data/messy_tables" / name)
    when = next(key for key in found[0][1] if key.lower() in ("date", "when"))
    assert len(found) >= 3
    assert all(dt.date.fromisoformat(values[when]) for _, values in found)
    assert any(type(value) is int for value in found[0][1].values())
    assert notes == []
