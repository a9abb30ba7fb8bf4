"""Small documents of every format, written for tests."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path

Entry = tuple[int, str, int]  # level from 1, title, page from 1


def pdf_bytes(pages: Sequence[Sequence[str]], outline: Sequence[Entry] = ()) -> bytes:
    """A PDF with these lines on its pages; a page without lines has no text."""
    objects: list[bytes] = []

    def add(body: str | bytes) -> int:
        objects.append(body if isinstance(body, bytes) else body.encode("latin-1"))
        return len(objects)

    catalog, tree = add(""), add("")
    font = add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    kids = []
    for lines in pages:
        shown = "".join(f"({_escaped(line)}) Tj T*\n" for line in lines)
        stream = f"BT /F1 10 Tf 12 TL 50 780 Td\n{shown}ET".encode("cp1252")
        content = add(b"<< /Length %d >>\nstream\n" % len(stream) + stream + b"\nendstream")
        kids.append(
            add(
                f"<< /Type /Page /Parent {tree} 0 R /MediaBox [0 0 595 842] /Contents {content} 0 R "
                f"/Resources << /Font << /F1 {font} 0 R >> >> >>"
            )
        )
    objects[tree - 1] = (
        f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(f'{kid} 0 R' for kid in kids)}] >>"
    ).encode()
    outlines = _outline(objects, outline, kids)
    objects[catalog - 1] = f"<< /Type /Catalog /Pages {tree} 0 R {outlines} >>".encode()
    return assembled(objects)


def assembled(objects: Sequence[bytes]) -> bytes:
    """Objects 1 to n (the first is the catalogue) as a PDF file."""
    raw, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(raw))
        raw += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    start = len(raw)
    raw += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    raw += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return raw + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)


def _escaped(line: str) -> str:
    return line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def _outline(objects: list[bytes], entries: Sequence[Entry], kids: Sequence[int]) -> str:
    """A flat outline (every level 1), or one level below it."""
    if not entries:
        return ""
    root = len(objects) + 1
    numbers = [root + 1 + n for n in range(len(entries))]
    tops = [n for n, (level, _, _) in enumerate(entries) if level == 1]
    objects.append(f"<< /Type /Outlines /First {numbers[tops[0]]} 0 R /Last {numbers[tops[-1]]} 0 R >>".encode())
    for n, (level, title, page) in enumerate(entries):
        same = (
            tops
            if level == 1
            else [m for m in range(len(entries)) if entries[m][0] == 2 and _above(tops, m) == _above(tops, n)]
        )
        parent = root if level == 1 else numbers[_above(tops, n)]
        below = [m for m in range(len(entries)) if level == 1 and entries[m][0] == 2 and _above(tops, m) == n]
        following = same[same.index(n) + 1 :]
        links = f"/Next {numbers[following[0]]} 0 R " if following else ""
        links += f"/First {numbers[below[0]]} 0 R /Last {numbers[below[-1]]} 0 R /Count {len(below)} " if below else ""
        target = f"/Dest [{kids[page - 1]} 0 R /XYZ 0 800 0]"
        objects.append(f"<< /Title ({_escaped(title)}) /Parent {parent} 0 R {links}{target} >>".encode())
    return f"/Outlines {root} 0 R"


def _above(tops: Sequence[int], n: int) -> int:
    return max(top for top in tops if top <= n)


def write_pdf(path: Path, pages: Sequence[Sequence[str]], outline: Sequence[Entry] = ()) -> Path:
    path.write_bytes(pdf_bytes(pages, outline))
    return path


def write_docx(path: Path) -> Path:
    import docx

    document = docx.Document()
    document.core_properties.title = "Cellar handbook"
    document.add_heading("Turning", level=1)
    document.add_paragraph("Wheels are turned every day.")
    document.add_paragraph("Wear gloves", style="List Bullet")
    document.add_paragraph("Wash the boards", style="List Bullet")
    document.add_heading("Times", level=2)
    table = document.add_table(rows=2, cols=2)
    for cell, said in zip((c for row in table.rows for c in row.cells), ("Week", "Turns", "1", "7"), strict=True):
        cell.text = said
    document.sections[0].header.paragraphs[0].text = "Internal use"
    document.sections[0].footer.paragraphs[0].text = "Page 1"
    document.add_paragraph("The end.")
    document.save(str(path))
    return path


def write_pptx(path: Path) -> Path:
    import pptx
    from pptx.util import Inches

    deck = pptx.Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[1])
    first.shapes.title.text = "Five cellars"
    first.placeholders[1].text = "The cold one\nThe damp one"
    first.notes_slide.notes_text_frame.text = "Mention the draught."
    second = deck.slides.add_slide(deck.slide_layouts[5])
    second.shapes.title.text = "Temperatures"
    table = second.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    for at, said in enumerate(("Cellar", "Degrees", "Cold", "4")):
        table.cell(at // 2, at % 2).text = said
    deck.save(str(path))
    return path


def write_xlsx(path: Path) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Stock"
    for row in (["Cheese", "Wheels", "Checked"], ["Tarn Blue", 12, True], ["Kilnstone", 3.5, None]):
        sheet.append(row)
    hidden = book.create_sheet("Secret")
    hidden.append(["a", "b"])
    hidden.sheet_state = "hidden"
    book.save(str(path))
    return path


def write_epub(path: Path) -> Path:
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        '<dc:title>Rinds</dc:title></metadata><manifest><item id="n" href="nav.xhtml" properties="nav"/>'
        '<item id="b" href="two.xhtml"/><item id="a" href="one.xhtml"/></manifest>'
        '<spine><itemref idref="n"/><itemref idref="a"/><itemref idref="b"/></spine></package>'
    )
    page = "<html><head><title>x</title></head><body><h1>{}</h1><p>{}</p></body></html>"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        container = '<container><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>'
        archive.writestr("META-INF/container.xml", container)
        archive.writestr("OPS/book.opf", package)
        archive.writestr("OPS/nav.xhtml", page.format("Contents", "One, two"))
        archive.writestr("OPS/one.xhtml", page.format("One", "The washed rind is orange."))
        archive.writestr("OPS/two.xhtml", page.format("Two", "The natural rind is grey."))
    return path


def write_notebook(path: Path) -> Path:
    cells = [
        {"cell_type": "markdown", "source": ["# Yield\n", "Milk to cheese."]},
        {"cell_type": "code", "source": "print(1 / 10)", "outputs": [{"text": ["0.1"]}]},
    ]
    path.write_text(json.dumps({"cells": cells, "metadata": {"kernelspec": {"language": "python"}}}))
    return path


def message(body: str, *, html: str = "", subject: str = "Order 12") -> EmailMessage:
    made = EmailMessage()
    made["From"] = "Ann Lee <ann@example.org>"
    made["To"] = "orders@example.org"
    made["Date"] = "Mon, 03 Mar 2025 10:00:00 +0000"
    made["Subject"] = subject
    made.set_content(body)
    if html:
        made.add_alternative(html, subtype="html")
    return made


PAGE = """<!DOCTYPE html><html><head><title>Delivery - Shop</title><style>p { color: red }</style></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/shop">Shop</a></li><li><a href="/news">News</a></li></ul></nav>
<article><h1>Delivery</h1>
<p>We deliver on weekdays in the whole valley, and the driver calls half an hour before the van arrives at your door.</p>
<h2>Cold chain</h2>
<p>Fresh cheese travels in boxes with ice, which keep it below eight degrees for two days even in the middle of July.</p>
<table><tr><th>Zone</th><th>Price</th></tr><tr><td>Valley</td><td>4</td></tr><tr><td>Hills</td><td>6</td></tr></table>
<ul><li>Ring twice</li><li>Leave at the gate</li></ul>
<script>var secret = "never shown";</script>
</article><footer><p>Copyright Example Dairy</p></footer></body></html>"""


def write_ods(path: Path, cell: str = "", row: str = "") -> Path:
    """A sheet of two rows; `cell` and `row` are attributes of the last cell and of its row."""
    names = "urn:oasis:names:tc:opendocument:xmlns:"

    def said(text: str, attributes: str = "") -> str:
        return f'<table:table-cell office:value-type="string" {attributes}><text:p>{text}</text:p></table:table-cell>'

    content = (
        f'<office:document-content xmlns:office="{names}office:1.0" xmlns:table="{names}table:1.0" '
        f'xmlns:text="{names}text:1.0"><office:body><office:spreadsheet><table:table table:name="Racks">'
        f"<table:table-row>{said('Rack')}{said('Wood')}</table:table-row>"
        f"<table:table-row {row}>{said('A')}{said('beech', cell)}</table:table-row>"
        "</table:table></office:spreadsheet></office:body></office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    entry = f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{kind}"/>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", kind)
        archive.writestr("content.xml", content)
        archive.writestr(
            "META-INF/manifest.xml",
            f'<manifest:manifest xmlns:manifest="{names}manifest:1.0">{entry}</manifest:manifest>',
        )
    return path
