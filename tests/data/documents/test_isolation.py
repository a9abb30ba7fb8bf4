"""The worker: its bounds hold, and it comes back after it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from affinage.data.documents.corpus import load_documents
from affinage.data.documents.document import Document, DocumentError
from affinage.data.documents.isolation import Worker
from affinage.data.documents.limits import Limits

from .makers import assembled


def looping_pdf() -> bytes:
    """A form that draws itself, a hundred times at each of many levels: text extraction takes for ever."""
    calls = b" ".join(b"/X%d Do" % n for n in range(60))
    forms = []
    names = b" ".join(b"/X%d %d 0 R" % (n, n + 5) for n in range(60))
    for _ in range(60):
        head = b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << %s >> >> /Length %d >>"
        forms.append(head % (names, len(calls)) + b"\nstream\n" + calls + b"\nendstream")
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /XObject << %s >> >> >>"
    return assembled(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            page % names,
            b"<< /Length %d >>\nstream\n" % len(calls) + calls + b"\nendstream",
            *forms,
        ]
    )


def test_a_file_that_takes_too_long_is_stopped_and_the_next_is_read(tmp_path: Path) -> None:
    good = tmp_path / "good.md"
    good.write_text("# Good\n\nAll is well.")
    slow = tmp_path / "slow.md"
    slow.write_text("# Slow\n")
    with Worker(Limits(seconds=1.0)) as worker:
        assert isinstance(worker.read(str(good))[0], Document)
        assert worker._process is not None
        os.kill(worker._process.pid, signal.SIGSTOP)
        start = time.monotonic()
        with pytest.raises(DocumentError, match="longer than 1 seconds"):
            worker.read(str(slow))
        assert time.monotonic() - start < 10
        [document] = worker.read(str(good))
        assert isinstance(document, Document)
        assert document.text.endswith("All is well.")


def test_a_killed_worker_is_told_and_replaced(tmp_path: Path) -> None:
    good = tmp_path / "good.md"
    good.write_text("# Good\n\nAll is well.")
    with Worker() as worker:
        worker.read(str(good))
        assert worker._process is not None
        first = worker._process
        os.kill(first.pid, signal.SIGSTOP)
        worker.limits = Limits(seconds=20)
        subprocess.Popen([sys.executable, "-c", f"import os, time; time.sleep(0.5); os.kill({first.pid}, 9)"])
        with pytest.raises(DocumentError, match="SIGKILL"):
            worker.read(str(good))
        worker.read(str(good))
        assert worker._process.pid != first.pid


def test_memory_is_bounded(tmp_path: Path) -> None:
    large = tmp_path / "large.txt"
    large.write_bytes(b"word " * 8_000_000)
    small = tmp_path / "small.txt"
    small.write_text("A few words.")
    corpus = load_documents([large, small], limits=Limits(memory=60 * 2**20))
    assert [drop.reason for drop in corpus.drops] == ["unreadable"]
    assert "memory" in corpus.drops[0].detail
    assert [text.text for text in corpus.texts] == ["A few words."]


def test_a_pdf_that_calls_itself_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "loop.pdf"
    path.write_bytes(looping_pdf())
    start = time.monotonic()
    corpus = load_documents([path], limits=Limits(seconds=1.5))
    assert time.monotonic() - start < 20
    assert not corpus.texts
    assert len(corpus.drops) == 1


def test_a_script_without_a_main_guard_can_read_documents(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\n\nWords of a document.")
    script = tmp_path / "script.py"
    script.write_text(
        "from affinage.data.documents.corpus import load_documents\n"
        f"print(len(load_documents([{str(tmp_path / 'a.md')!r}]).texts))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("1\n", 0), done.stderr


def test_the_worker_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\n\nWords.")
    script = (
        "import os\nfrom affinage.data.documents.isolation import Worker\n"
        f"worker = Worker()\nworker.read({str(tmp_path / 'a.md')!r})\n"
        "print(worker._process.pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    pid = int(done.stdout)
    for _ in range(100):
        if not _alive(pid):
            return
        time.sleep(0.1)
    pytest.fail("the worker outlives its parent")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
