"""Markdown and plain text stay as they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from affinage.data.documents.document import Document, DocumentError
from affinage.data.documents.reading import read_document

SAMPLE = """---
title: "Cave notes"
---
# Cave notes

Rest *well*, see [the list](list.md).

Times
-----

- one
  - inner

```python
# not a heading
x = 1
```

| a | b |
|---|---|
| 1 | 2 |
<!-- hidden -->
## Last ##
End
"""


def read(tmp_path: Path, text: str | bytes, name: str = "a.md") -> Document:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_document(path)


def test_markdown_blocks(tmp_path: Path) -> None:
    document = read(tmp_path, SAMPLE)
    said = [(block.kind, document.text[block.start : block.end], block.heading[-1:]) for block in document.blocks]
    assert said == [
        ("heading", "# Cave notes", ("Cave notes",)),
        ("text", "Rest *well*, see [the list](list.md).", ("Cave notes",)),
        ("heading", "## Times", ("Times",)),
        ("list", "- one\n  - inner", ("Times",)),
        ("code", "```python\n# not a heading\nx = 1\n```", ("Times",)),
        ("table", "| a | b |\n|---|---|\n| 1 | 2 |", ("Times",)),
        ("heading", "## Last", ("Last",)),
        ("text", "End", ("Last",)),
    ]
    assert document.title == "Cave notes"
    assert document.removed == {"front matter lines": 3, "comments": 1}


def test_plain_text_in_paragraphs(tmp_path: Path) -> None:
    document = read(tmp_path, "First line\r\nsecond line\r\n\r\n\r\nNext\u00a0one\n", "a.txt")
    assert document.text == "First line\nsecond line\n\nNext one"
    assert len(document.blocks) == 2


def test_damaged_characters_are_removed_and_counted(tmp_path: Path) -> None:
    document = read(tmp_path, "So\x07 the of\ufb01ce \ufffdhas \ue000it", "a.txt")
    assert document.text == "So the office has it"
    assert document.removed == {"control characters": 1, "undecodable characters": 2}


@pytest.mark.parametrize("content", [b"PNG\0\0\0\1\2\3", b"\xef\xbb\xbfa\0b", 9 * b"a\0b\0" + 2 * b"\0"])
def test_binary_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DocumentError, match="binary"):
        read(tmp_path, content, "a.txt")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_unicode_is_told_by_its_mark_or_its_zero_bytes(tmp_path: Path, encoding: str) -> None:
    document = read(tmp_path, "The été of the cheese maker.".encode(encoding), "a.txt")
    assert document.text == "The été of the cheese maker."
    assert document.notes == ()


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.rtf", b"{\\rtf1 x}", "save it as .docx"),
        ("a.xyz", b"x", "are not read"),
        ("a.md", b"", "empty"),
        ("a.md", b"\n \n", "no text in it"),
        ("a.pdf", b"no pdf at all", "damaged|no pages"),
        ("a.docx", b"no archive", "damaged"),
        ("a.ipynb", b"{", "not valid JSON"),
        ("a.ipynb", b"[1]", "no cells"),
        ("a.nxml", b"<a/>", "another kind"),
        ("a.eml", b"hello there", "not an e-mail"),
        ("a.mbox", b"hello there", "no message"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DocumentError) as caught:
        read_document(path)
    assert __import__("re").search(what, str(caught.value)), str(caught.value)
    assert str(path) in str(caught.value)
    with pytest.raises(DocumentError, match="cannot read"):
        read_document(tmp_path / "missing.md")
