"""Word, PowerPoint and Excel files."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import pytest

from affinage.data.documents.document import DocumentError
from affinage.data.documents.reading import read_document
from affinage.data.reading import workbooks

from .makers import write_docx, write_ods, write_pptx, write_xlsx


def test_word(tmp_path: Path) -> None:
    document = read_document(write_docx(tmp_path / "a.docx"))
    assert document.title == "Cellar handbook"
    assert document.text == (
        "# Turning\n\nWheels are turned every day.\n\n- Wear gloves\n- Wash the boards\n\n## Times\n\n"
        "| Week | Turns |\n| --- | --- |\n| 1 | 7 |\n\nThe end."
    )
    assert document.removed == {"page headers": 1, "page footers": 1}
    assert [block.kind for block in document.blocks] == ["heading", "text", "list", "heading", "table", "text"]
    assert document.locate(document.text.index("| 1"), document.text.index("| 1") + 2).heading == ("Turning", "Times")


def test_word_keeps_insertions_and_text_boxes_and_counts_deletions(tmp_path: Path) -> None:
    import docx
    from docx.oxml import parse_xml

    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    document = docx.Document()
    body = document.element.body
    for inner in (
        "<w:ins><w:r><w:t>put in</w:t></w:r></w:ins><w:del><w:r><w:delText>taken out</w:delText></w:r></w:del>",
        "<w:r><w:pict><w:txbxContent><w:p><w:r><w:t>in a box</w:t></w:r></w:p></w:txbxContent></w:pict></w:r>",
        "<w:r><w:t>one</w:t><w:tab/><w:t>two</w:t><w:br/><w:t>three</w:t></w:r>",
    ):
        body.insert(len(body) - 1, parse_xml(f"<w:p {space}>{inner}</w:p>"))
    control = f"<w:sdt {space}><w:sdtContent><w:p><w:r><w:t>controlled</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    body.insert(len(body) - 1, parse_xml(control))
    document.save(str(tmp_path / "a.docx"))
    read = read_document(tmp_path / "a.docx")
    assert read.text == "put in\n\nin a box\n\none two\nthree\n\ncontrolled"
    assert read.removed == {"deleted passages": 1}


def test_word_numbers_its_numbered_lists(tmp_path: Path) -> None:
    import docx

    document = docx.Document()
    for said in ("Open", "Cut"):
        document.add_paragraph(said, style="List Number")
    document.save(str(tmp_path / "a.docx"))
    assert read_document(tmp_path / "a.docx").text == "1. Open\n2. Cut"


def test_word_merged_cells_are_not_said_twice(tmp_path: Path) -> None:
    import docx

    document = docx.Document()
    table = document.add_table(rows=2, cols=2)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "both"
    table.cell(1, 0).text, table.cell(1, 1).text = "left", "right"
    document.save(str(tmp_path / "a.docx"))
    assert read_document(tmp_path / "a.docx").text == "| both | |\n| --- | --- |\n| left | right |"


def test_slides(tmp_path: Path) -> None:
    document = read_document(write_pptx(tmp_path / "a.pptx"))
    assert document.text == (
        "# Five cellars\n\n- The cold one\n- The damp one\n\nNotes: Mention the draught.\n\n"
        "# Temperatures\n\n| Cellar | Degrees |\n| --- | --- |\n| Cold | 4 |"
    )
    assert [block.page for block in document.blocks] == [1, 1, 1, 2, 2]
    assert document.pages == 2


def test_slides_without_text_are_told(tmp_path: Path) -> None:
    import pptx

    deck = pptx.Presentation()
    deck.slides.add_slide(deck.slide_layouts[5]).shapes.title.text = "Only one"
    deck.slides.add_slide(deck.slide_layouts[6])
    deck.save(str(tmp_path / "a.pptx"))
    assert read_document(tmp_path / "a.pptx").empty_pages == (2,)


def test_sheets(tmp_path: Path) -> None:
    document = read_document(write_xlsx(tmp_path / "a.xlsx"))
    assert document.text == ("# Stock\n\nCheese: Tarn Blue; Wheels: 12; Checked: true\nCheese: Kilnstone; Wheels: 3.5")
    assert document.removed == {"hidden sheets": 1}


def test_open_document_sheets_and_their_endless_repeats(tmp_path: Path) -> None:
    assert read_document(write_ods(tmp_path / "a.ods")).text == "# Racks\n\nRack: A; Wood: beech"
    cell, row = 'table:number-columns-repeated="16384"', 'table:number-rows-repeated="1048576"'
    with pytest.raises(DocumentError, match="limit"):
        read_document(write_ods(tmp_path / "b.ods", cell, row))


def test_lines_above_the_header_and_formulas_of_a_sheet(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    for row in (["Stock of March"], [], ["Cheese", "Wheels"], ["Tarn", 2], ["=1+1", "=HYPERLINK(1)"], ["Blue", 4]):
        book.active.append(row)
    book.save(str(tmp_path / "a.xlsx"))
    document = read_document(tmp_path / "a.xlsx")
    assert document.removed == {"formulas without a stored value": 2}
    assert document.text == ("# Sheet\n\nStock of March\n\nCheese: Tarn; Wheels: 2\nCheese: Blue; Wheels: 4")


def test_cells_are_written_as_in_a_sentence(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    moment, day = datetime(2020, 1, 2, 3, 4, 5), date(2020, 1, 2)
    for row in (["Notes"], ["what", "value"], ["sum", 0.1 + 0.2], ["moment", moment], ["day", day], ["large", 2**40]):
        book.active.append(row)
    for row in (["yes", True], ["third", 1 / 3], ["wrong", "#DIV/0!"]):
        book.active.append(row)
    book.save(str(tmp_path / "a.xlsx"))
    document = read_document(tmp_path / "a.xlsx")
    assert [line.partition("value: ")[2] for line in document.text.split("\n")[4:]] == [
        *("0.3", "2020-01-02 03:04:05", "2020-01-02", "1099511627776", "true", "0.333333333333", ""),
    ]
    assert document.removed == {"error values": 1}


def test_a_workbook_that_its_reader_finds_locked_or_cannot_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, program = tmp_path / "a.xls", tmp_path / "program.py"
    path.write_bytes(b"x")
    monkeypatch.setattr(workbooks, "_PROGRAM", program)
    for said, reason, message in (
        ('print(\'["fault", "encrypted", "locked", "unlock it"]\')', "encrypted", "locked"),
        ("raise SystemExit(3)", "unreadable", r"2,048 MiB of memory or 30 s to read \(code 3\)"),
    ):
        program.write_text(said)
        with pytest.raises(DocumentError, match=message) as caught:
            read_document(path)
        assert caught.value.reason == reason


def test_a_long_table_names_its_columns_in_every_row(tmp_path: Path) -> None:
    import docx

    document = docx.Document()
    table = document.add_table(rows=40, cols=2)
    for number, row in enumerate(table.rows):
        row.cells[0].text, row.cells[1].text = ("Day", "Turns") if number == 0 else (str(number), "2")
    document.save(str(tmp_path / "a.docx"))
    lines = read_document(tmp_path / "a.docx").text.split("\n")
    assert lines[:2] == ["Day: 1; Turns: 2", "Day: 2; Turns: 2"]
    assert len(lines) == 39


@pytest.mark.parametrize("suffix", [".docx", ".xlsx", ".pptx"])
def test_a_password_is_told(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600)
    with pytest.raises(DocumentError, match="password") as caught:
        read_document(path)
    assert caught.value.reason == "encrypted"
