"""The journal: what was answered survives, what is torn is cut off, what is not ours is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from affinage.errors import InputError
from affinage.synthesis.journal import Entry, Journal

FIRST = Entry("k1", "Grüße\n\u2028", "stop", 10, 4, True, "m", "2026-01-01T00:00:00+00:00")
SECOND = Entry("k2", "", "length", 7, 3, False, "m", "2026-01-01T00:00:01+00:00")


def filled(path: Path) -> Path:
    journal = Journal(path)
    journal.add(FIRST)
    journal.add(SECOND)
    journal.close()
    return path


def test_entries_come_back(tmp_path: Path) -> None:
    journal = Journal(filled(tmp_path / "a.journal"))
    assert (journal.get("k1"), journal.get("k2"), journal.get("k3")) == (FIRST, SECOND, None)
    assert (journal.found, journal.used()) == (2, (17, 7, 1))
    journal.close()


@pytest.mark.parametrize("torn", [b"{", b'{"key":"k3","text":"cut', b"\xff\xfe", b"x" * 100])
def test_a_torn_last_line_is_cut_off_and_written_over(tmp_path: Path, torn: bytes) -> None:
    path = filled(tmp_path / "a.journal")
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    journal = Journal(path)
    assert len(journal) == 2
    third = Entry("k3", "t", "stop", 1, 1, True, "m", "t")
    journal.add(third)
    journal.close()
    again = Journal(path)
    assert again.get("k3") == third
    again.close()
    assert path.read_bytes().startswith(whole)


def test_every_cut_of_the_file_loses_at_most_the_line_that_is_cut(tmp_path: Path) -> None:
    whole = filled(tmp_path / "a.journal").read_bytes()
    first = whole.index(b"\n") + 1
    for size in range(len(whole) + 1):
        path = tmp_path / f"{size}.journal"
        path.write_bytes(whole[:size])
        journal = Journal(path)
        assert len(journal) == (0 if size < first else 1 if size < len(whole) else 2)
        journal.close()


@pytest.mark.parametrize("line", [b"{}", b"[]", b"not json", b'{"key": 3}', b"null"])
def test_another_file_is_left_alone(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.journal"
    path.write_bytes(line + b"\n")
    with pytest.raises(InputError, match=r"a\.journal:1: not an entry"):
        Journal(path)
    assert path.read_bytes() == line + b"\n"


def test_two_do_not_work_with_one_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.journal")
    with pytest.raises(InputError, match="another process"):
        Journal(tmp_path / "a.journal")
    journal.add(FIRST)
    journal.close()
    Journal(tmp_path / "a.journal").close()


def test_an_empty_journal_leaves_no_file(tmp_path: Path) -> None:
    Journal(tmp_path / "a.journal").close()
    assert list(tmp_path.iterdir()) == []


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Journal(tmp_path / "no" / "a.journal")
