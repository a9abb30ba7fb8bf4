"""The array cache: what is put is found, and whatever happens to its files, nothing fails."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from affinage.store.arrays import ArrayCache, cache_folder, cache_key

KEY = cache_key("weights", 3, "mean")


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool", "float16"])
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (0, 4), (2, 0, 3)])
def test_what_is_put_comes_back_with_its_type_and_shape(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    array = (np.random.default_rng(0).random(shape) * 9).astype(dtype)
    ArrayCache(tmp_path).put(KEY, array)
    found = ArrayCache(tmp_path).get(KEY)
    assert found is not None
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


def test_found_arrays_are_mapped_and_cannot_be_written(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    cache.put(KEY, np.ones((4, 2), np.float32))
    found = cache.get(KEY)
    assert isinstance(found, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 2.0


def test_keys_differ_with_every_part_and_its_place() -> None:
    keys = [cache_key("a", "b"), cache_key("b", "a"), cache_key("ab"), cache_key("a", "b", None), cache_key(b"a", b"b")]
    assert len(set(keys)) == len(keys)
    assert cache_key({"x": 1, "y": 2}) == cache_key({"y": 2, "x": 1})


def test_a_missing_key_is_counted_and_a_wrong_one_refused(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    assert cache.get(KEY) is None
    assert (cache.counts.hits, cache.counts.misses) == (0, 1)
    for wrong in ("../escape", "", "ABC"):
        with pytest.raises(ValueError, match="not a cache key"):
            cache.get(wrong)


@pytest.mark.parametrize("place", range(0, 150, 7))
def test_a_flipped_byte_anywhere_is_noticed_counted_and_recomputed(tmp_path: Path, place: int) -> None:
    cache = ArrayCache(tmp_path)
    cache.put(KEY, np.arange(20, dtype=np.float32))
    (path,) = files(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[place % len(raw)] ^= 0x41
    path.write_bytes(raw)
    assert cache.get(KEY) is None
    assert cache.counts.broken == 1
    cache.put(KEY, np.arange(20, dtype=np.float32))
    assert cache.get(KEY) is not None


@pytest.mark.parametrize("length", [0, 5, 23, 60, -1])
def test_a_file_cut_short_is_noticed(tmp_path: Path, length: int) -> None:
    cache = ArrayCache(tmp_path)
    cache.put(KEY, np.arange(20, dtype=np.float32))
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    assert cache.get(KEY) is None
    assert cache.counts.broken == 1


def test_objects_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="numbers"):
        ArrayCache(tmp_path).put(KEY, np.array([{}], dtype=object))


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, limit=9_000)
    keys = [cache_key(number) for number in range(3)]
    for age, key in enumerate(keys[:2]):
        cache.put(key, np.zeros(1000, np.float32))
        os.utime(tmp_path / f"{key}.arr", (100 + age, 100 + age))
    assert cache.get(keys[0]) is not None  # used just now, so the second one is the oldest
    cache.put(keys[2], np.zeros(1000, np.float32))
    assert [cache.get(key) is not None for key in keys] == [True, False, True]
    assert cache.counts.dropped == 1
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 9_000


def test_an_array_over_the_limit_is_not_kept_and_drops_nothing(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, limit=1000)
    cache.put(KEY, np.zeros(10, np.float32))
    cache.put(cache_key("large"), np.zeros(1000, np.float32))
    assert cache.counts.unwritten == 1
    assert cache.get(KEY) is not None


def test_a_disk_that_refuses_is_counted_and_leaves_no_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    cache = ArrayCache(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        cache.put(KEY, np.zeros(10))
    assert cache.counts.unwritten == 1
    assert files(tmp_path) == []


def test_half_written_files_are_never_read_and_old_ones_are_swept(tmp_path: Path) -> None:
    old, young = tmp_path / "a.part", tmp_path / "b.part"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (1, 1))
    ArrayCache(tmp_path).put(KEY, np.zeros(3))
    assert not old.exists()
    assert young.exists()


def test_rows_are_found_by_id_over_several_puts(tmp_path: Path) -> None:
    shelf = ArrayCache(tmp_path).rows(KEY)
    shelf.put(["a", "b"], np.array([[1.0, 2.0], [3.0, 4.0]]))
    shelf.put(["c"], np.array([[5.0, 6.0]]))
    cache = ArrayCache(tmp_path)
    found = cache.rows(KEY).find(["c", "x", "a"])
    assert sorted(found) == ["a", "c"]
    np.testing.assert_array_equal(found["c"], [5.0, 6.0])
    assert (cache.counts.hits, cache.counts.misses) == (2, 1)
    assert cache.rows(cache_key("another space")).find(["a"]) == {}


def test_a_broken_segment_costs_its_own_rows_only(tmp_path: Path) -> None:
    shelf = ArrayCache(tmp_path).rows(KEY)
    shelf.put(["a"], np.ones((1, 2)))
    (first,) = files(tmp_path)
    shelf.put(["b"], np.ones((1, 2)))
    first.write_bytes(first.read_bytes()[:-1])
    cache = ArrayCache(tmp_path)
    assert list(cache.rows(KEY).find(["a", "b"])) == ["b"]
    assert cache.counts.broken == 1


def test_writers_and_readers_at_the_same_time_see_whole_arrays(tmp_path: Path) -> None:
    wrong: list[object] = []

    def work(number: int) -> None:
        cache = ArrayCache(tmp_path, limit=40_000)
        for turn in range(30):
            key = cache_key(turn % 7)
            cache.put(key, np.full(1000, turn % 7, np.float32))
            found = cache.get(cache_key((turn + number) % 7))
            if found is not None and not (found == (turn + number) % 7).all():
                wrong.append(found)
        if cache.counts.broken:
            wrong.append(cache.counts)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("AFFINAGE_CACHE", raising=False)
    assert cache_folder() == tmp_path / "xdg" / "affinage"
    monkeypatch.setenv("AFFINAGE_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_a_folder_that_cannot_be_made_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("AFFINAGE_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = cache_folder()
    assert folder.parent == tmp_path
    ArrayCache(folder).put(KEY, np.zeros(2))
    assert ArrayCache(folder).get(KEY) is not None
