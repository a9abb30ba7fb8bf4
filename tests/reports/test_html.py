from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from affinage.errors import RunError
from affinage.reports.html import write_report

SECTIONS = {
    "evaluation.json": "Before and after",
    "samples.json": "In its own words",
    "curve.json": "Would more rows help?",
    "metrics.jsonl": "How it learned",
    "ledger.json": "Where every row went",
    "plan.json": "The plan, and why",
    "environment.json": "<summary>Environment",
}


class Tags(HTMLParser):
    """Collects tags and attributes, and notices elements that are not closed."""

    EMPTY = frozenset({"meta", "br", "img", "hr", "link", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_file_is_a_section(folder: Path) -> None:
    page = write_report(folder).read_text()
    for heading in (*SECTIONS.values(), "What it cost elsewhere", "Which labels are taken for which"):
        assert heading in page
    assert "The run helped: loss 3.000 → 2.000." in page
    assert "-1.000 (-1.100 to -0.900)" in page
    assert "something was forgotten" in page
    assert "duplicate" in page


@pytest.mark.parametrize("name", SECTIONS)
def test_a_missing_file_is_a_missing_section(folder: Path, name: str) -> None:
    (folder / name).unlink()
    page = write_report(folder).read_text()
    assert SECTIONS[name] not in page
    assert page.count("<section") > 3


def test_an_empty_folder_has_a_page(tmp_path: Path) -> None:
    assert "has not been evaluated" in write_report(tmp_path).read_text()


def test_text_from_files_stays_text(folder: Path) -> None:
    page = write_report(folder).read_text()
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    assert "script" not in {tag for tag, _ in parser.seen}
    assert "&lt;script&gt;" in page
    assert "new &amp; true" in page
    assert "counting &lt;tokens&gt; $5_x" in page


def test_nothing_is_fetched(folder: Path) -> None:
    page = write_report(folder).read_text()
    parser = Tags()
    parser.feed(page)
    for tag, attributes in parser.seen:
        assert "src" not in attributes
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    assert "@import" not in page
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= {f"#{tag}" for tag in re.findall(r'id="([^"]+)"', page)}
    assert "default-src 'none'" in page


def test_plots_are_whole_and_take_the_pages_colours(folder: Path) -> None:
    page = write_report(folder).read_text()
    plots = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(plots) == 7
    for plot in plots:
        ElementTree.fromstring(plot)
        assert not re.search(r"#[0-9a-f]{6}[;\"]", plot)
        assert "var(--accent)" in plot
        assert len(plot) < 40_000
    assert len(page) < 200_000


def test_many_labels_are_told_as_mistakes(folder: Path) -> None:
    evaluation = json.loads((folder / "evaluation.json").read_text())
    labels = [f"label {n}" for n in range(30)]
    counts = [[5 if a == b else 2 * (a == 7 and b == 9) for b in range(30)] for a in range(30)]
    evaluation["metrics"]["confusion"]["after"] = {"labels": labels, "counts": counts}
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    page = write_report(folder).read_text()
    assert "<tr><th>label 7</th><td>label 9</td><td>2</td></tr>" in page
    assert "30 labels" in page


def test_unknown_bounds_and_no_before(folder: Path) -> None:
    evaluation = json.loads((folder / "evaluation.json").read_text())
    evaluation |= {"before": None, "difference": {"value": -1.0, "low": None, "high": None}, "helped": "not separable"}
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    page = write_report(folder).read_text()
    assert "<strong>-1.000</strong>" in page
    assert "not separable" in page


def test_a_report_is_the_same_twice_and_tells_when_it_cannot_be_written(folder: Path) -> None:
    first = write_report(folder).read_text()
    assert write_report(folder).read_text() == first
    (folder / "report.html").unlink()
    (folder / "report.html").mkdir()
    with pytest.raises(RunError, match="cannot write"):
        write_report(folder)
