"""How far data are from what a base knows: the n-gram is a probability, and planted distances come out as planted."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affinage.data.records import Source
from affinage.inspection.distance import _blocks
from affinage.inspection.ngram import ByteNGram
from affinage.inspection.vocabulary import coverage
from affinage.recipe import make_recipe
from affinage.tuning.foreign import distance
from affinage.tuning.survey import survey


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=6, max_size=200), st.binary(min_size=4, max_size=4))
def test_the_ngram_is_a_probability(text: bytes, context: bytes) -> None:
    """Whatever was read and stands before, the 256 bytes that may follow share one."""
    model = ByteNGram(text)
    total = sum(2 ** -model.bits_per_byte(context + bytes([byte])) for byte in range(256))
    assert total == pytest.approx(1.0)


def test_the_ngram_learns_what_it_read() -> None:
    text = b"the milk became curd and the curd became cheese. " * 20
    model = ByteNGram(text)
    assert model.bits_per_byte(text) < 0.3
    assert model.bits_per_byte(bytes(reversed(text))) > 5
    noise = np.random.default_rng(0).integers(0, 256, 20_000).astype(np.uint8).tobytes()
    assert ByteNGram(noise[:10_000]).bits_per_byte(noise[10_000:]) == pytest.approx(8.0, abs=0.6)


def test_the_ngram_equals_a_plain_count() -> None:
    """Order 2 by hand: p(b|a) = (n(ab) - D)/n(a.) + D * followers(a)/n(a.) * p1(b), p1 over continuation counts."""
    text, discount = b"abacabb", 0.75
    pairs = [text[i : i + 2] for i in range(6)]
    kinds = {pair[1] for pair in set(pairs)}
    continuation = {c: len({pair for pair in set(pairs) if pair[1] == c}) for c in kinds}
    total = sum(continuation.values())
    lower = (continuation[ord("b")] - discount) / total + discount * len(kinds) / total / 256
    followers = {pair[1] for pair in pairs if pair[0] == ord("a")}
    starts = sum(pair[0] == ord("a") for pair in pairs)
    expected = (pairs.count(b"ab") - discount) / starts + discount * len(followers) / starts * lower
    assert 2 ** -ByteNGram(text, 2).bits_per_byte(b"ab") == pytest.approx(expected)


def test_coverage_grows_and_says_when_it_is_enough() -> None:
    closed = coverage([f"the {word} is here" for word in ("cat", "dog", "cow") for _ in range(200)])
    rng = np.random.default_rng(0)
    rows = [" ".join(f"w{rng.integers(0, 10**6)}" for _ in range(10)) for _ in range(200)]
    open_ended = coverage(rows)
    assert closed
    assert closed.enough
    assert open_ended
    assert open_ended.points[-1]["covered"] < 0.2
    shares = [point["covered"] for point in closed.points]
    assert shares == sorted(shares)
    assert coverage(["too little"]) is None


def test_every_new_word_is_more_text_wanted() -> None:
    rng = np.random.default_rng(0)
    words = np.minimum(rng.zipf(1.2, 8000), 10**6)
    rows = [" ".join(f"w{word}" for word in words[start : start + 20]) for start in range(0, 8000, 20)]
    found = coverage(rows)
    assert found
    assert found.gain > 0.01
    assert not found.enough


@pytest.mark.real
@pytest.mark.parametrize(
    ("folder", "column", "verdict"),
    [("tinystories_sample", "text", "in"), ("pubmedqa", "contexts", "far"), ("morfitt_fr", "text", "far")],
)
def test_planted_distances(shared: Path, tmp_path: Path, folder: str, column: str, verdict: str) -> None:
    """A base of children's stories: such stories are in, medical abstracts and French are far."""
    path = next((shared / "data" / folder).glob("*.jsonl.gz"))
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line)[column] for line in file][:150]
    data = tmp_path / "rows.jsonl"
    data.write_text(
        "".join(json.dumps({"text": row if isinstance(row, str) else "\n".join(row)}) + "\n" for row in rows)
    )
    recipe = make_recipe({"data": str(data), "model": str(shared / "models" / "stories260K"), "objective": "pretrain"})
    found = distance(survey(recipe))
    assert found is not None
    assert found.verdict == verdict
    assert len(found.foreign) == 5
    assert found.classifier_error < 0.5


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=3000), max_size=12))
def test_short_rows_are_read_together_and_none_is_lost(texts: list[str]) -> None:
    rows = [(Source("f", str(n)), text) for n, text in enumerate(texts)]
    blocks = _blocks(rows)
    assert "\n".join(text for _, text in blocks) == "\n".join(texts)
    assert all(len(text) < 2_000 or text in texts for _, text in blocks)
    assert len(_blocks([(Source("f"), "short")] * 10)) == 1


def test_too_little_text_says_nothing(tmp_path: Path) -> None:
    data = tmp_path / "few.jsonl"
    data.write_text("".join(json.dumps({"text": f"The milk of day {n} was warm."}) + "\n" for n in range(12)))
    assert distance(survey(make_recipe({"data": str(data), "objective": "pretrain"}))) is None
