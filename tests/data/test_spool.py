"""Unpacked copies of large files: made once, bounded on disk, never dropped under a run that reads them."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from affinage.data.streams import spool as spooling
from affinage.data.streams.spool import keep, spool
from affinage.errors import InputError
from affinage.store.arrays import LIMIT
from affinage.store.room import room

SIZE = 100_000  # bytes of each copy, about


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the copies lie, with room for two and a half."""
    monkeypatch.setenv("AFFINAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(spooling, "room", lambda folder: 5 * SIZE // 2)
    return tmp_path / "cache" / "spool"


def packed(path: Path) -> str:
    line = json.dumps({"text": path.stem.ljust(980)}) + "\n"
    path.write_bytes(gzip.compress((SIZE // 1000 * line).encode()))
    return str(path)


def copies(tmp_path: Path, *ages: float) -> list[Path]:
    """Copies that were last used so many seconds ago."""
    made = [Path(spool(packed(tmp_path / f"{number}.jsonl.gz"), bad_rows="error")) for number in range(len(ages))]
    for path, age in zip(made, ages, strict=True):
        os.utime(path, (time.time() - age,) * 2)
    return made


def test_a_copy_is_made_once(tmp_path: Path) -> None:
    (path,) = copies(tmp_path, 9000)
    written = path.stat().st_ino
    assert spool(str(tmp_path / "0.jsonl.gz"), bad_rows="error") == str(path)
    assert path.stat().st_ino == written
    assert time.time() - path.stat().st_mtime < 60  # used just now


def test_the_copies_used_longest_ago_are_dropped_beyond_the_room(tmp_path: Path, folder: Path) -> None:
    old, oldest, young = copies(tmp_path, 8000, 9000, 7000)
    newest = Path(spool(packed(tmp_path / "new.jsonl.gz"), bad_rows="error"))
    assert set(folder.iterdir()) == {young, newest}
    assert not old.exists()
    assert not oldest.exists()
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 5 * SIZE // 2


def test_copies_in_use_stay_however_many_they_are(tmp_path: Path, folder: Path) -> None:
    made = copies(tmp_path, 0, 10, 3000)
    newest = Path(spool(packed(tmp_path / "new.jsonl.gz"), bad_rows="error"))
    assert set(folder.iterdir()) == {*made, newest}


def test_reading_counts_as_use(tmp_path: Path, folder: Path) -> None:
    first, *_ = copies(tmp_path, 9000, 8000, 7000)
    keep(str(first), str(tmp_path / "0.jsonl.gz"), bad_rows="error")
    newest = Path(spool(packed(tmp_path / "new.jsonl.gz"), bad_rows="error"))
    assert set(folder.iterdir()) == {first, newest}


def test_halves_of_killed_runs_are_swept(tmp_path: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, age in (("dead.part-1", 9000), ("written-now.part-2", 10)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age,) * 2)
    (made,) = copies(tmp_path, 0)
    assert set(folder.iterdir()) == {made, folder / "written-now.part-2"}


def test_the_room_is_a_quarter_of_the_free_disk_and_no_less_than_other_arrays_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for free, expected in ((100 << 30, 25 << 30), (1 << 30, LIMIT)):
        monkeypatch.setattr(shutil, "disk_usage", lambda place, free=free: SimpleNamespace(free=free))
        assert room(tmp_path / "not" / "there yet") == expected


def test_a_failure_leaves_nothing_behind(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n' * 1000)[:-9])
    with pytest.raises(InputError, match="not a whole gzip file"):
        spool(str(tmp_path / "cut.jsonl.gz"), bad_rows="error")
    assert list(folder.iterdir()) == []
