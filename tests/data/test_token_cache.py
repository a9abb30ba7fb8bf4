"""Packs hold rows exactly; the cache answers only for the very same records and settings, and says why it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affinage.data.batches import Row
from affinage.data.records import Chat, Labelled, Message, Record, Text
from affinage.data.rendering.renderer import Renderer
from affinage.data.streams.packs import make_pack, unpack
from affinage.data.streams.token_cache import TokenCache
from affinage.errors import InputError
from tests.data.small_tokenizer import small_tokenizer


def renderer(**changes: Any) -> Renderer:
    settings: dict[str, Any] = {"system_prompt": None, "learn_from": "completions", "context": 64, "too_long": "drop"}
    return Renderer(small_tokenizer(), **{**settings, **changes})


def chats() -> list[Record]:
    turns = [(f"Say {n}", f"the cat sat {n}") for n in range(20)]
    return [Chat(messages=(Message("user", ask), Message("assistant", said))) for ask, said in turns]


def same(rows: Any, others: Any) -> bool:
    return len(rows) == len(others) and all(
        np.array_equal(a.tokens_T, b.tokens_T)
        and np.array_equal(a.weights_T, b.weights_T)
        and (a.record_id, a.learned_bytes, a.truncated) == (b.record_id, b.learned_bytes, b.truncated)
        and np.array_equal(a.target, b.target)
        for a, b in zip(rows, others, strict=True)
    )


def test_a_pack_holds_rows_exactly() -> None:
    rows, _ = renderer().rows(chats())
    pack = unpack(make_pack(rows, [record.id for record in chats()], {"read": 3}).to_bytes())
    assert same(pack, rows)
    assert pack.extra == {"read": 3}
    assert pack.lengths.tolist() == [len(row) for row in rows]
    assert pack.learned.tolist() == [row.learned for row in rows]
    assert pack[-1].record_id == rows[-1].record_id
    assert [row.record_id for row in pack[2:4]] == [row.record_id for row in rows[2:4]]
    with pytest.raises(IndexError):
        pack[len(rows)]


@pytest.mark.parametrize("weights", [[0.0, 1.0, 0.5], [0.0, 1.0, 1.0]])
@pytest.mark.parametrize("tokens", [[1, 2, 3], [1, 70_000, 3]])
@pytest.mark.parametrize("target", [None, 2.0, np.array([0.0, 1.0], np.float32)])
def test_odd_numbers_survive(weights: list[float], tokens: list[int], target: Any) -> None:
    row = Row(np.array(tokens, np.int32), np.array(weights, np.float32), "ab", 5, target=target, truncated=2)
    assert same(unpack(make_pack([row], ["ab"]).to_bytes()), [row])


def test_no_rows() -> None:
    assert list(unpack(make_pack([], ["ab"]).to_bytes())) == []


def test_hit_and_miss_with_the_reason(tmp_path: Path) -> None:
    def asked(records: list[Record], **changes: Any) -> str:
        return TokenCache(tmp_path).rows(renderer(**changes), records).said

    assert asked(chats()) == "rendered now: these rows were not seen before"
    assert asked(chats()) == "from the cache"
    assert "system_prompt" in asked(chats(), system_prompt="Be brief.")
    assert "context" in asked(chats(), context=63)
    assert "not seen before" in asked(chats()[1:])
    template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{{ eos_token }}{% endfor %}"
    assert "template" in asked(chats(), template=template)
    assert asked(chats()) == "from the cache"


def test_what_is_learned_from_is_part_of_the_key(tmp_path: Path) -> None:
    marked = [
        Chat(messages=(Message("user", "Say 0"), Message("assistant", "the cat sat 0", learn=learn)))
        for learn in (None, True)
    ]
    assert marked[0].id == marked[1].id
    cache = TokenCache(tmp_path)
    cache.rows(renderer(), marked[:1])
    assert cache.rows(renderer(), marked[1:]).said.startswith("rendered now")


def test_rows_and_drops_from_the_cache_are_the_same(tmp_path: Path) -> None:
    records = [
        *chats(),
        Text(text="the cat " * 200),
        Chat(messages=(Message("user", "word " * 90), Message("assistant", "x"))),
    ]
    first, second = (TokenCache(tmp_path).rows(renderer(), records) for _ in range(2))
    assert same(first.rows, second.rows)
    assert [(d.reason, str(d.source), d.record_id) for d in first.drops] == [
        (d.reason, str(d.source), d.record_id) for d in second.drops
    ]
    assert first.drops


def test_targets_are_kept(tmp_path: Path) -> None:
    records: list[Record] = [Labelled(text="the cat", label="a"), Labelled(text="the mat", label="b")]
    for targets in ({"a": 0.0, "b": 1.0}, {"a": 1.0, "b": 0.0}):
        for _ in range(2):
            rendered = TokenCache(tmp_path).rows(renderer(), records, targets)
            assert [row.target for row in rendered.rows] == list(targets.values())


def test_an_error_is_never_kept(tmp_path: Path) -> None:
    record = Chat(messages=(Message("user", "word " * 90), Message("assistant", "x")))
    for _ in range(2):
        with pytest.raises(InputError, match="longer than the context"):
            TokenCache(tmp_path).rows(renderer(too_long="error"), [record])


def test_a_damaged_file_is_rendered_again(tmp_path: Path) -> None:
    cache = TokenCache(tmp_path)
    cache.rows(renderer(), chats())
    (file,) = tmp_path.glob("*.arr")
    raw = bytearray(file.read_bytes())
    raw[-20] ^= 255
    file.write_bytes(bytes(raw))
    again = TokenCache(tmp_path).rows(renderer(), chats())
    assert again.said.endswith("dropped since")
    assert same(again.rows, renderer().rows(chats())[0])


def test_a_cache_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    rendered = TokenCache(tmp_path / "file").rows(renderer(), chats())
    assert len(rendered.rows) == 20
