"""Files made to break a reader: whatever comes, it ends as a document or as a told error, soon and in little memory."""

from __future__ import annotations

import random
import re
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affinage.data.documents.document import Document, DocumentError
from affinage.data.documents.limits import Limits
from affinage.data.documents.reading import SUFFIXES, read_document, read_documents

from .makers import (
    PAGE,
    assembled,
    message,
    pdf_bytes,
    write_docx,
    write_epub,
    write_notebook,
    write_pptx,
    write_xlsx,
)

SMALL = Limits(unpacked=20 * 2**20, characters=200_000, cells=100_000)

ARTICLE = "<article><body><sec><title>A</title><p>Words <b>and</b> more.</p></sec></body></article>"
WRITERS: dict[str, Callable[[Path], object]] = {
    ".pdf": lambda path: path.write_bytes(
        pdf_bytes([["Some words", "on a page"], ["and more"]], [(1, "Some words", 1)])
    ),
    ".docx": write_docx,
    ".pptx": write_pptx,
    ".xlsx": write_xlsx,
    ".epub": write_epub,
    ".ipynb": write_notebook,
    ".html": lambda path: path.write_text(PAGE),
    ".md": lambda path: path.write_text("# A\n\n- b\n\n```\nc\n```\n\n| d | e |\n|---|---|\n"),
    ".eml": lambda path: path.write_bytes(bytes(message("Two.\n\n> How many?\n", html="<p>Two.</p>"))),
    ".mbox": lambda path: path.write_bytes(
        b"From a\n" + bytes(message("Two.\n")) + b"\nFrom b\n" + bytes(message("3\n"))
    ),
    ".nxml": lambda path: path.write_text(ARTICLE),
}


def settles(path: Path) -> None:
    """The file gives documents whose spans are exact, or a told error, within seconds."""
    start = time.monotonic()
    try:
        found, told = read_documents(path, limits=SMALL), str(path)
    except DocumentError as error:
        found, told = [], error.message
    assert str(path) in told
    for document in found:
        if isinstance(document, Document):
            document.text.encode("utf-8")
            assert all(document.text[b.start : b.end].strip() for b in document.blocks)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_flipped_bytes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    WRITERS[suffix](path)
    good = path.read_bytes()
    read_documents(path, limits=SMALL)
    source = random.Random(7)
    for _ in range(25):
        raw = bytearray(good)
        for _ in range(source.choice((1, 4, 40))):
            raw[source.randrange(len(raw))] = source.randrange(256)
        path.write_bytes(raw[: source.randrange(1, len(raw))] if source.random() < 0.3 else raw)
        settles(path)


@pytest.mark.parametrize("suffix", [".docx", ".pptx", ".xlsx", ".epub"])
def test_flipped_bytes_inside_sound_archives(tmp_path: Path, suffix: str) -> None:
    good, path = tmp_path / f"good{suffix}", tmp_path / f"a{suffix}"
    WRITERS[suffix](good)
    with zipfile.ZipFile(good) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    source = random.Random(3)
    names = [name for name in parts if name.endswith((".xml", ".rels", ".opf", ".xhtml"))]
    for _ in range(20):
        changed = dict(parts)
        for name in source.sample(names, 2):
            raw = bytearray(parts[name])
            for _ in range(source.choice((1, 3, 10))):
                raw[source.randrange(len(raw))] = source.randrange(32, 127)
            changed[name] = bytes(raw)
        if source.random() < 0.2:
            del changed[source.choice(names)]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, raw in changed.items():
                archive.writestr(name, raw)
        settles(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=300))
def test_arbitrary_bytes(tmp_path: Path, suffix: str, raw: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(raw)
    settles(path)


NAMED = "<table> <tr><td> <ul><li> </li> <h1> </ <!-- --> # > | a | - ``` word é \u202e [x]( ) = -- wrote:"
MARKS = [*NAMED.split(), " ", "\n", "\n\n", "On x wrote:", "From: a", "To: b", '{"cells":[', "]}", '"']


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from([".html", ".md", ".txt", ".eml", ".ipynb"]),
    parts=st.lists(
        st.sampled_from(MARKS),
        max_size=60,
    ),
)
def test_odd_markup(tmp_path: Path, suffix: str, parts: list[str]) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text("".join(parts))
    settles(path)


def bomb(path: Path, name: str, size: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as part:
        for _ in range(size // 2**20):
            part.write(b" " * 2**20)
    return path


@pytest.mark.parametrize("suffix", [".docx", ".xlsx", ".epub"])
def test_an_archive_that_unpacks_to_too_much(tmp_path: Path, suffix: str) -> None:
    path = bomb(tmp_path / f"a{suffix}", "word/document.xml", 40 * 2**20)
    with pytest.raises(DocumentError, match="when unpacked"):
        read_document(path, limits=SMALL)


def test_an_archive_that_lies_about_its_sizes(tmp_path: Path) -> None:
    path = bomb(tmp_path / "a.docx", "word/document.xml", 40 * 2**20)
    raw, true = path.read_bytes(), struct.pack("<L", 40 * 2**20)
    assert raw.count(true) >= 1
    path.write_bytes(raw.replace(true, struct.pack("<L", 1000)))
    with pytest.raises(DocumentError, match="damaged"):
        read_document(path, limits=SMALL)


def test_entities_are_refused(tmp_path: Path) -> None:
    lines = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 20 if n else "lol"}">' for n in range(9))
    evil = f'<?xml version="1.0"?><!DOCTYPE a [{lines}]><article><body><p>&e8;</p></body></article>'
    (tmp_path / "a.nxml").write_text(evil)
    settles(tmp_path / "a.nxml")
    with zipfile.ZipFile(tmp_path / "a.docx", "w") as archive:
        archive.writestr("word/document.xml", evil)
    with pytest.raises(DocumentError, match="XML entities"):
        read_document(tmp_path / "a.docx")


def test_no_outside_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("the secret")
    (tmp_path / "a.nxml").write_text(
        f'<!DOCTYPE article [<!ENTITY s SYSTEM "file://{tmp_path}/secret.txt">]>'
        "<article><body><p>Words &s; and more.</p></body></article>"
    )
    try:
        said = read_document(tmp_path / "a.nxml").text
    except DocumentError as error:
        said = str(error)
    assert "the secret" not in said


def test_a_sheet_with_far_corners(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.active["A1"], book.active["XFD1048576"] = "near", "far"
    book.save(str(tmp_path / "a.xlsx"))
    with pytest.raises(DocumentError, match="more than 100,000 cells"):
        read_document(tmp_path / "a.xlsx", limits=SMALL)


def test_a_workbook_that_promises_too_many_entries(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "good.xlsx")
    with (
        zipfile.ZipFile(tmp_path / "good.xlsx") as good,
        zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as bad,
    ):
        for name in good.namelist():
            bad.writestr(name, re.sub(rb' count="\d+"', b' count="99999999999"', good.read(name)))
    with pytest.raises(DocumentError, match="99,999,999,999 entries"):
        read_document(tmp_path / "a.xlsx")


def catalogue(*rest: bytes) -> bytes:
    return assembled([b"<< /Type /Catalog /Pages 2 0 R >>", *rest])


@pytest.mark.parametrize(
    "raw",
    [
        catalogue(b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>"),
        catalogue(b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>", b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>"),
        catalogue(b"<< /Type /Pages /Kids [3 0 R] /Count 999999999 >>", b"<< /Type /Page /Parent 3 0 R >>"),
        catalogue(b"[" * 20_000),
        catalogue(b"<</A " * 5_000),
        pdf_bytes([["a"]]).replace(b"/Root 1 0 R", b"/Root 9 0 R"),
        pdf_bytes([["a"]]).replace(b"/Size", b"/Prev 9 /Size"),
        pdf_bytes([["a"]]).split(b"xref")[0],
    ],
    ids=["self", "ring", "count", "arrays", "dictionaries", "root", "previous", "no-table"],
)
def test_broken_pdf_structure(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "a.pdf").write_bytes(raw)
    settles(tmp_path / "a.pdf")


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".md", "# " + " " * 200_000 + "x"),
        (".md", "[" * 100_000),
        (".md", "> " * 100_000),
        (".md", "-" * 200_000 + "x"),
        (".txt", "\n" + " \n" * 200_000 + "x"),
        (".html", "<b>" * 100_000 + "x"),
        (".html", "<table><tr><td>" * 2_000 + "x"),
        (".html", "<ul><li>" * 2_000 + "x"),
        (".html", "<p>x" * 10_000),
        (".ipynb", "[" * 100_000),
        (".ipynb", '{"cells": ' + "[" * 900 + "]" * 900 + "}"),
        (".nxml", "<article>" + "<sec>" * 50_000),
        (".eml", "From: a\nSubject: b\n\n" + "On x wrote\n" * 20_000),
        (".eml", "From: a\n" + "Content-Type: multipart/mixed; boundary=b\n\n--b\n" * 1_000),
        (".eml", "Subject: =?utf-8?q?" + "=41" * 50_000 + "?=\n\nx"),
        (".mbox", "From x\n\n" * 3_000),
    ],
)
def test_long_and_deep(tmp_path: Path, suffix: str, text: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text(text)
    settles(path)
