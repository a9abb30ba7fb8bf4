"""Contamination: whole items, near-duplicates and 70% of a long item are found; shared boilerplate is not."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affinage.data.duplicates.decontamination import SHARE, Benchmark, contaminated, decontaminate, overlap
from affinage.data.duplicates.shingles import words
from affinage.data.records import Chat, Labelled, Message, Pair, Preference, Prompt, Rated, Source, Text
from affinage.data.wording import answer_texts, prompt_text, whole_text
from affinage.errors import InputError

VOCABULARY = [f"word{number}" for number in range(400)]


def said(seed: int, count: int) -> str:
    return " ".join(random.Random(seed).choices(VOCABULARY, k=count))


def share_held(item: str, text: str) -> float:
    """The rule, spelled out: the part of an item's sequences that a text holds."""
    asked, held = list(words(item)), list(words(text))
    size = min(13, len(asked))
    found = [
        {tuple(row[start : start + size]) for start in range(len(row) - size + 1)} if size else set()
        for row in (asked, held)
    ]
    return len(found[0] & found[1]) / len(found[0]) if len(asked) >= 8 else 0.0


def test_an_item_is_found_whole_nearly_and_inside() -> None:
    items = [said(1, 60), said(2, 9), "yes it is"]
    benchmark = Benchmark(items, "b")
    assert len(benchmark) == 3
    near = items[0].split()
    near[-1] = "other"
    texts = [
        items[0].upper() + "!",
        " ".join(near),
        f"{said(3, 200)} {items[0]} {said(4, 200)}",
        f"{said(5, 30)} {items[1]} {said(6, 3)}",
        "Yes, it is.",
        f"yes it is {said(7, 20)}",
        said(8, 300),
        "",
    ]
    hits = contaminated(texts, benchmark)
    assert [(hit.item, hit.kind) if hit else None for hit in hits] == [
        (0, "same"),
        (0, "near-duplicate"),
        (0, "contained"),
        (1, "contained"),
        (2, "same"),
        None,
        None,
        None,
    ]
    assert [hit.share for hit in hits if hit and hit.kind != "near-duplicate"] == [1.0] * 4


def test_a_part_of_an_item_counts_from_the_stated_share_on() -> None:
    item = said(1, 112)  # a hundred sequences
    start = item.split()
    for held, found in ((int(100 * SHARE), True), (int(100 * SHARE) - 1, False)):
        text = f"{said(2, 300)} {' '.join(start[: held + 12])} {said(3, 300)}"
        (hit,) = contaminated([text], Benchmark([item]))
        assert (hit is not None) == found
        if hit:
            assert hit.share == pytest.approx(held / 100)


def test_boilerplate_throws_no_row_out() -> None:
    instruction = said(9, 30)
    items = [f"{instruction} {said(number + 10, 40)}" for number in range(150)]
    benchmark = Benchmark(items)
    assert contaminated(
        [f"{instruction} {said(999, 40)}", f"{said(998, 90)} {instruction} {said(997, 90)}"], benchmark
    ) == [
        None,
        None,
    ]
    (hit,) = contaminated([f"{said(996, 200)} {items[7]} {said(995, 200)}"], benchmark)
    assert hit is not None
    assert (hit.item, hit.share) == (7, 1.0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=30).map(" ".join), max_size=5),
    st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=60).map(" ".join), max_size=5),
)
def test_what_is_contained_is_what_the_rule_says(items: list[str], texts: list[str]) -> None:
    hits = contaminated(texts, Benchmark(items))
    for text, hit in zip(texts, hits, strict=True):
        if hit is None:
            assert all(share_held(item, text) < SHARE for item in items)
        elif hit.kind == "contained":
            assert hit.share == pytest.approx(max(share_held(item, text) for item in items))
            assert share_held(items[hit.item], text) == pytest.approx(hit.share)
        elif hit.kind == "same":
            assert list(words(items[hit.item])) == list(words(text))


def test_overlap_names_both_rows() -> None:
    held_out = [said(1, 20), "", said(2, 20), said(2, 20)]
    train = [said(3, 20), said(2, 20), f"{said(4, 20)} {held_out[0]} {said(5, 40)}", ""]
    assert overlap(train, held_out) == [(1, 2, "same", 1.0), (2, 0, "contained", 1.0)]
    assert overlap([], held_out) == overlap(train, []) == []


def test_rows_that_hold_a_benchmark_row_are_dropped_with_its_place(tmp_path: Path) -> None:
    question, answer = f"{said(1, 12)}?", said(2, 40)
    path = tmp_path / "bench.jsonl"
    rows = [{"prompt": "What is the capital?", "response": "yes"}, {"prompt": question, "response": answer}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def chat(asked: str, answered: str, line: int) -> Chat:
        messages = (Message("user", asked), Message("assistant", answered))
        return Chat(messages=messages, source=Source("train.jsonl", str(line)))

    records = [
        chat(said(3, 12), "yes", 1),
        chat("what is the capital", said(4, 10), 2),
        chat(question, "another answer", 3),
        chat(said(5, 12), f"{said(6, 5)} {answer} {said(7, 30)}", 4),
        chat(said(8, 12), said(9, 12), 5),
    ]
    kept, drops = decontaminate(records, [str(path)])
    assert kept == [records[0], records[4]]
    assert [(drop.reason, drop.source.locator, drop.record_id) for drop in drops] == [
        ("contaminated", str(line), records[line - 1].id) for line in (2, 3, 4)
    ]
    assert [drop.detail for drop in drops] == [
        f"the same words as {path}:1",
        f"holds 100% of {path}:2",
        f"holds 100% of {path}:2",
    ]
    assert decontaminate(records, []) == (records, [])
    with pytest.raises(InputError):
        decontaminate(records, [str(tmp_path / "missing.jsonl")])


def test_benchmarks_of_several_kinds_are_read_together(tmp_path: Path) -> None:
    text, label = tmp_path / "a.txt", tmp_path / "b.jsonl"
    text.write_text(said(1, 40), encoding="utf-8")
    label.write_text("".join(json.dumps({"text": said(n, 20), "label": "x"}) + "\n" for n in (2, 3)), encoding="utf-8")
    records = [Text(text=said(number, 40 if number == 1 else 20)) for number in (1, 2, 3, 4)]
    kept, drops = decontaminate(records, [str(text), str(label)])
    assert kept == [records[3]]
    assert [drop.reason for drop in drops] == ["contaminated"] * 3


def test_the_wording_of_every_kind() -> None:
    asked = (Message("system", "be kind"), Message("user", "q"))
    answers = (Message("assistant", "a"), Message("assistant", "b"))
    cases = [
        (Text(text="t"), "t", []),
        (Labelled(text="t", label="x"), "t", []),
        (Chat(messages=(*asked, answers[0])), "q", ["a"]),
        (Chat(messages=asked), "q", []),
        (Prompt(messages=asked, reference="r"), "q", ["r"]),
        (Prompt(messages=asked), "q", []),
        (Preference(messages=asked, completions=answers, ranks=(1, 2)), "q", ["a", "b"]),
        (Rated(messages=asked, completion=answers[1], score=True), "q", ["b"]),
        (Pair(query="q", passage="p", negatives=("n",)), "q", ["p"]),
    ]
    for record, prompt, answered in cases:
        assert prompt_text(record) == prompt
        assert answer_texts(record) == answered
        assert whole_text(record) == "\n".join([prompt, *answered])
        assert record.split_key == prompt


@pytest.mark.real
def test_the_test_rows_of_a_real_set_are_found_in_its_training_rows(shared: Path) -> None:
    folder = shared / "data/banking77"
    lines = (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()[:2000]
    records = [Text(text=json.loads(line)["text"]) for line in lines]
    kept, drops = decontaminate(records, [str(folder / "test.jsonl")])
    assert 0 < len(drops) < 0.02 * len(records)
    assert len(kept) + len(drops) == len(records)
