"""The page of an inspection: self-contained, escaped, with every section that there is something to say in."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.calling import Call


def test_the_page_holds_what_was_found(call: Call, tmp_path: Path) -> None:
    rows = [
        {"prompt": f"What is in vat {n}? <script>alert(1)</script>", "response": f"Milk of day {n}."} for n in range(60)
    ]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = tmp_path / "page.html"
    done = call("inspect", str(data), "--report", str(page), "--rows", "2")
    assert done.code == 0, done.err
    html = page.read_text()
    assert "<script" not in html
    assert "&lt;" in html
    assert 'http-equiv="Content-Security-Policy"' in html
    assert "//" not in html.replace("http://www.w3.org/", "")
    for part in ("Findings", "Where every row went", "Lengths in tokens", "Rows as tokens", 'class="on"'):
        assert part in html, part


def test_a_page_must_be_named_as_one(call: Call, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text('{"text": "x"}\n')
    done = call("inspect", str(data), "--report", str(tmp_path / "page.txt"))
    assert done.code == 2
    assert "page.html" in done.err
