"""Files read while training: each row once a pass, nothing reserved, the same rows after a resume, a ledger that adds up."""

from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from affinage.data.layouts.known import recognise
from affinage.data.reading.readers import read_source
from affinage.data.reading.sources import RawRow
from affinage.data.records import digest
from affinage.data.rendering.renderer import Renderer
from affinage.data.streams.seen import SeenIds
from affinage.data.streams.spool import spool
from affinage.data.streams.stream import Reserved, RowStream, StreamSource
from affinage.data.streams.streamed_batches import StreamedBatches
from affinage.data.streams.token_cache import TokenCache
from affinage.errors import RunError
from tests.data.small_tokenizer import small_tokenizer

ROWS = 300


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(small_tokenizer(), system_prompt=None, learn_from="completions", context=64, too_long="drop")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rows = [{"text": f"The cat {number} sat on mat {number * 7 % 13}."} for number in range(ROWS)]
    rows[50] = rows[10]  # said twice
    rows[51] = {"text": ""}  # nothing to learn from
    file = tmp_path / "many.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    return file


def make(path: Path, renderer: Renderer, cache: Path, reserved: tuple[str, ...] = ()) -> RowStream:
    head = [row for row in itertools.islice(read_source(str(path), bad_rows="drop"), 20) if isinstance(row, RawRow)]
    layout = recognise(head)
    kept_out = [layout.to_records(RawRow({"text": text}, head[0].source))[0] for text in reserved]
    keys = frozenset(digest(record.split_key) for record in kept_out)
    names = Reserved(keys, frozenset(record.id for record in kept_out))
    source = StreamSource(str(path), layout, "")
    return RowStream([source], renderer, names, TokenCache(cache), seed=0, bad_rows="drop", block=1000)


def batches(stream: RowStream, epochs: float = 1.0) -> StreamedBatches:
    return StreamedBatches(stream, budget=128, micro=64, pad_id=0, epochs=epochs, beside=([], 0.0))


def test_a_pass_carries_each_row_once(path: Path, renderer: Renderer, tmp_path: Path) -> None:
    stream = make(path, renderer, tmp_path / "cache")
    texts = carried(batches(stream), renderer)
    assert len(stream.blocks) > 5
    assert len(texts) == ROWS - 2
    assert set(texts.values()) == {1}


def test_two_passes_differ_in_order_and_not_in_rows(path: Path, renderer: Renderer, tmp_path: Path) -> None:
    both = list(batches(make(path, renderer, tmp_path / "cache"), epochs=2))
    half = len(both) // 2
    first, second = (texts_of(part, renderer) for part in (both[:half], both[half:]))
    assert first != second
    assert sorted(first + second) == sorted(2 * list(set(first)))


def test_reserved_texts_are_never_carried(path: Path, renderer: Renderer, tmp_path: Path) -> None:
    reserved = ("The cat 3 sat on mat 8.", "The cat 4 sat on mat 2.")
    stream = make(path, renderer, tmp_path / "cache", reserved)
    source = batches(stream)
    texts = carried(source, renderer)
    assert not {text for text in texts if "cat 3 " in text or "cat 4 " in text}
    ledger = source.ledger(validation=1, held_out=1)
    assert ledger.adds_up()
    assert (ledger.read, ledger.trained, ledger.not_reached) == (ROWS + 1, ROWS - 4, 0)
    assert ledger.dropped == {"duplicate": 1, "empty-text": 1, "malformed": 1}


@pytest.mark.parametrize("served", [0, 1, 7, 30])
def test_the_ledger_adds_up_wherever_a_run_stops(path: Path, renderer: Renderer, tmp_path: Path, served: int) -> None:
    source = batches(make(path, renderer, tmp_path / "cache"))
    seen = texts_of(itertools.islice(source, served), renderer)
    ledger = source.ledger(validation=0, held_out=0)
    assert ledger.adds_up()
    assert ledger.trained == len(set(seen))
    assert ledger.read == ROWS + 1


@pytest.mark.parametrize("served", [1, 5, 20, 45])
def test_a_resumed_stream_goes_on_at_the_same_row(path: Path, renderer: Renderer, tmp_path: Path, served: int) -> None:
    whole = list(batches(make(path, renderer, tmp_path / "one"), epochs=2))
    first = batches(make(path, renderer, tmp_path / "two"), epochs=2)
    list(itertools.islice(first, served))
    second = batches(make(path, renderer, tmp_path / "three"), epochs=2)  # nothing is cached there
    second.load_state_dict(first.state_dict())
    rest = list(second)
    assert len(rest) == len(whole) - served
    for step, again in zip(whole[served:], rest, strict=True):
        for one, other in zip(step, again, strict=True):
            assert torch.equal(one.tokens_BT, other.tokens_BT)
            assert torch.equal(one.weights_BT, other.weights_BT)


def test_a_second_run_maps_what_the_first_has_rendered(path: Path, renderer: Renderer, tmp_path: Path) -> None:
    first = make(path, renderer, tmp_path / "cache")
    texts = texts_of(batches(first), renderer)
    second = make(path, renderer, tmp_path / "cache")
    assert texts_of(batches(second), renderer) == texts
    blocks = len(first.blocks)
    assert first.told() == f"0 of {blocks} blocks from the cache, {blocks} rendered now"
    assert second.told() == f"{blocks} of {blocks} blocks from the cache, 0 rendered now"


def test_a_second_pass_is_no_find_in_the_cache(path: Path, renderer: Renderer, tmp_path: Path) -> None:
    stream = make(path, renderer, tmp_path / "cache")
    source = batches(stream, epochs=2)
    list(source)
    source.ledger(validation=0, held_out=0)
    assert stream.told().startswith("0 of ")


def test_a_copy_that_was_dropped_while_it_is_read_is_made_again(
    path: Path, renderer: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFFINAGE_CACHE", str(tmp_path / "home"))
    packed = tmp_path / "many.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    copy = Path(spool(str(packed), bad_rows="drop"))
    stream = make(copy, renderer, tmp_path / "cache")
    stream.blocks = [(replace(source, uri=str(packed)), block) for source, block in stream.blocks]
    source = batches(stream)
    served = iter(source)
    seen = [next(served)]
    copy.unlink()
    seen += served
    assert len(texts_of(seen, renderer)) == ROWS - 2
    assert source.ledger(validation=0, held_out=0).adds_up()
    copy.unlink()
    packed.write_bytes(gzip.compress(path.read_bytes()[:1000]))
    with pytest.raises(RunError, match=r"many\.jsonl\.gz: .* another one now"):
        stream.pack(0)


def test_redacted_rows_never_come_from_a_cache_of_plain_ones(renderer: Renderer, tmp_path: Path) -> None:
    file = tmp_path / "mails.jsonl"
    file.write_text("".join(json.dumps({"text": f"Write to nora.{n}@example.org now."}) + "\n" for n in range(20)))
    plain = make(file, renderer, tmp_path / "cache")
    assert all("example.org" in text for text in texts_of(batches(plain), renderer))
    hidden = make(file, renderer, tmp_path / "cache")
    hidden.blocks = [(replace(source, redact=True), block) for source, block in hidden.blocks]
    assert set(texts_of(batches(hidden), renderer)) == {"Write to [EMAIL] now."}


def test_rows_far_apart_meet(path: Path, renderer: Renderer, tmp_path: Path) -> None:
    """The shuffle is thorough: places in the file say next to nothing about places in the pass."""
    texts = texts_of(batches(make(path, renderer, tmp_path / "cache")), renderer)
    numbers = [int(text.split()[2]) for text in texts]
    correlation = np.corrcoef(numbers, range(len(numbers)))[0, 1]
    assert abs(correlation) < 0.35
    neighbours = sum(abs(a - b) == 1 for a, b in itertools.pairwise(numbers))
    assert neighbours < 0.2 * len(numbers)


def test_weights_of_sources(path: Path, renderer: Renderer, tmp_path: Path) -> None:
    stream = make(path, renderer, tmp_path / "cache")
    stream.blocks = [(StreamSource(s.path, s.layout, s.columns, times=2.0), block) for s, block in stream.blocks]
    assert set(carried(batches(stream), renderer).values()) == {2}


def test_general_rows_take_their_share(path: Path, renderer: Renderer, tmp_path: Path) -> None:
    from affinage.data.records import Text

    general, _ = renderer.rows([Text(text="General words come by here again.")])
    stream = make(path, renderer, tmp_path / "cache")
    source = StreamedBatches(stream, budget=128, micro=64, pad_id=0, epochs=1, beside=(general, 0.25))
    seen = list(source)
    texts = texts_of(seen, renderer)
    size = len(general[0])
    total = sum(batch.tokens for step in seen for batch in step)
    assert texts.count("General words come by here again.") * size / total == pytest.approx(0.25, abs=0.03)
    assert source.ledger(validation=0, held_out=0).trained == ROWS - 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 200), unique=True, max_size=30), max_size=20))
def test_seen_ids_is_a_set(parts: list[list[int]]) -> None:
    known, ids = set[int](), SeenIds()
    for part in parts:
        fresh = ids.add(np.array(part, np.uint64))
        assert fresh.tolist() == [number not in known for number in part]
        known.update(part)


def carried(source: StreamedBatches, renderer: Renderer) -> Counter[str]:
    return Counter(texts_of(source, renderer))


def texts_of(seen: object, renderer: Renderer) -> list[str]:
    texts = []
    for batch in itertools.chain.from_iterable(seen):  # type: ignore[call-overload]
        for tokens, mask in zip(batch.tokens_BT, batch.mask_BT, strict=True):
            texts.append(renderer.tokenizer.decode(tokens[mask].tolist(), skip_special_tokens=True).strip())
    return texts
