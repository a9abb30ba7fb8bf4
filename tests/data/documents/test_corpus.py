"""Many files as one corpus."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from affinage.data.documents.corpus import load_documents
from affinage.errors import InputError

from .makers import PAGE, write_docx, write_epub, write_notebook, write_pdf, write_pptx, write_xlsx

TOPICS = ("milk", "rennet", "salt", "moulds", "brine", "racks", "rinds")
DISCLAIMER = "This message is meant for its reader alone; whoever else receives it shall delete it."


def story(topic: str) -> str:
    return (
        f"The note on {topic} was written by the person who works with {topic} every day. It says where {topic} "
        f"comes from, how {topic} is stored, and what to do when there is no {topic} left in the house."
    )


def write_notes(folder: Path, ending: str = "") -> None:
    for topic in TOPICS:
        (folder / f"{topic}.md").write_text(f"# {topic.title()}\n\n{' '.join([story(topic), topic * 3])}\n\n{ending}\n")


def test_a_folder_of_every_format(tmp_path: Path) -> None:
    write_docx(tmp_path / "a.docx")
    write_pptx(tmp_path / "b.pptx")
    write_xlsx(tmp_path / "c.xlsx")
    write_epub(tmp_path / "d.epub")
    write_notebook(tmp_path / "e.ipynb")
    write_pdf(tmp_path / "f.pdf", [["Some words on a page."], []])
    (tmp_path / "g.html").write_text(PAGE)
    (tmp_path / "h.txt").write_text("Le fromage est affiné pendant trois mois dans une cave fraîche et humide.")
    write_pdf(tmp_path / "scan.pdf", [[], []])
    (tmp_path / "broken.docx").write_bytes(b"PK\x03\x04 not really")
    (tmp_path / "picture.png").write_bytes(b"x")
    (tmp_path / ".hidden.md").write_text("hidden")
    seen: list[tuple[int, int, str]] = []
    corpus = load_documents([tmp_path], progress=lambda *step: seen.append(step))
    assert len(corpus.texts) == len(corpus.documents) == 8
    assert [text.source.uri for text in corpus.texts] == [
        str(tmp_path / name)
        for name in sorted(("a.docx", "b.pptx", "c.xlsx", "d.epub", "e.ipynb", "f.pdf", "g.html", "h.txt"))
    ]
    assert sorted((drop.reason, Path(drop.source.uri).name) for drop in corpus.drops) == [
        ("no-text", "scan.pdf"),
        ("unreadable", "broken.docx"),
    ]
    assert seen[-1][:2] == (10, 10)
    assert corpus.documents[-1].language == "fr"
    assert corpus.notes[0].startswith("8 documents: 6 en, ")
    assert "left out: " in corpus.notes[0]
    assert any(".png 1" in note for note in corpus.notes)
    assert any("page 2 has no text (of 2)" in note for note in corpus.notes)
    assert corpus.removed["hidden sheets"] == 1
    for text, document in zip(corpus.texts, corpus.documents, strict=True):
        assert text.text == document.text


def test_duplicates_are_dropped_and_counted(tmp_path: Path) -> None:
    write_notes(tmp_path)
    (tmp_path / "z-copy.txt").write_text((tmp_path / "salt.md").read_text().upper())
    long = " ".join(story(topic) for topic in TOPICS)
    (tmp_path / "x1.txt").write_text(long)
    (tmp_path / "x2.txt").write_text(long.replace("every day", "each week", 1))
    corpus = load_documents([tmp_path])
    reasons = sorted((drop.reason, Path(drop.source.uri).name) for drop in corpus.drops)
    assert reasons == [("duplicate", "z-copy.txt"), ("near-duplicate", "x2.txt")]
    assert all(drop.record_id and str(tmp_path) in drop.detail for drop in corpus.drops)
    assert len(load_documents([tmp_path], near_duplicates=False).texts) == len(TOPICS) + 2


def test_lines_that_many_documents_repeat_are_kept_once(tmp_path: Path) -> None:
    write_notes(tmp_path, ending=DISCLAIMER)
    corpus = load_documents([tmp_path])
    assert sum(DISCLAIMER in text.text for text in corpus.texts) == 1
    assert corpus.removed == {"repeated lines": len(TOPICS) - 1}
    for document in corpus.documents:
        said = [document.text[block.start : block.end] for block in document.blocks]
        assert "\n\n".join(said) == document.text


def test_short_repeated_lines_headings_and_tables_stay(tmp_path: Path) -> None:
    table = "| Name of the thing | Place of the thing |\n|---|---|\n| a | b |"
    write_notes(tmp_path, ending=f"None.\n\n## What to do if something is missing here\n\n{table}")
    corpus = load_documents([tmp_path])
    assert all(text.text.endswith(table) and "None." in text.text for text in corpus.texts)
    assert corpus.removed == {}


def test_a_second_run_gives_the_same_text_and_spans(tmp_path: Path) -> None:
    write_notes(tmp_path, ending=DISCLAIMER)
    write_docx(tmp_path / "a.docx")
    write_pdf(tmp_path / "f.pdf", [["Some words on a page."], []])
    assert load_documents([tmp_path]) == load_documents([tmp_path])


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    for uris in ([], [tmp_path], [tmp_path / "missing.pdf"]):
        with pytest.raises(InputError):
            load_documents(uris)


def test_reading_documents_loads_no_model_library(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\n\nWords of a document.")
    script = (
        "import sys\nfrom affinage.data.documents.corpus import load_documents\n"
        f"load_documents([{str(tmp_path)!r}])\nassert 'torch' not in sys.modules\nassert 'transformers' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
