"""Preferences and ratings, in the ways in which people's judgements are written down."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from affinage.data.layouts.judged import TIE, compared, ranks_from
from affinage.data.load import load_records
from affinage.data.records import Preference, Rated
from affinage.errors import InputError
from tests.data.rows import raw, reason, records, said

U, A, B = ({"role": role, "content": text} for role, text in (("user", "q"), ("assistant", "a"), ("assistant", "b")))
Q = [("user", "q")]
HH = "\n\nHuman: q\n\nAssistant: u\n\nHuman: v\n\nAssistant:"
TALK = [("user", "q"), ("assistant", "u"), ("user", "v")]

CHOSEN: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"prompt": "q", "chosen": "a", "rejected": "b"}, Q),
    ({"system": "s", "question": "q", "chosen": "a", "rejected": "b"}, [("system", "s"), *Q]),
    ({"instruction": "q", "input": "x", "chosen": "a", "rejected": "b"}, [("user", "q\n\nx")]),
    ({"messages": [U], "chosen": "a", "rejected": "b"}, Q),
    ({"conversations": [{"from": "human", "value": "q"}], "chosen": {"from": "gpt", "value": "a"},
      "rejected": {"from": "gpt", "value": "b"}}, Q),
    ({"prompt": [U], "chosen": [A], "rejected": [B]}, Q),
    ({"prompt": "q", "chosen": [U, A], "rejected": [U, B]}, Q),
    ({"chosen": [{"role": "system", "content": "s"}, U, A], "rejected": [{"role": "system", "content": "s"}, U, B]},
     [("system", "s"), *Q]),
    ({"prompt": HH, "chosen": " a", "rejected": " b"}, TALK),
    ({"chosen": HH + " a", "rejected": HH + " b"}, TALK),
    ({"prompt": HH, "chosen": HH + " a", "rejected": HH + " b"}, TALK),
    ({"prompt": "q", "chosen": "q a", "rejected": "q b"}, Q),
    ({"chosen": "q a", "rejected": "q b"}, Q),
]  # fmt: skip


@pytest.mark.parametrize(("row", "prompt"), CHOSEN)
def test_chosen_and_rejected(row: dict[str, Any], prompt: list[tuple[str, str]]) -> None:
    (record,) = records(row)
    assert isinstance(record, Preference), record
    assert said(record.messages) == prompt
    assert said(record.completions) == [("assistant", "a"), ("assistant", "b")]
    assert record.ranks == (1, 2)
    assert (record.best.content, record.worst.content) == ("a", "b")


def test_scores_margins_and_confidences() -> None:
    row = {"prompt": "q", "chosen": "a", "rejected": "b"}
    (scored,) = records({**row, "score_chosen": 4.5, "score_rejected": "1"})
    assert (scored.scores, scored.margin, scored.confidence) == ((4.5, 1.0), 3.5, None)
    (sure,) = records({**row, "margin": 2, "confidence": 0.75})
    assert (sure.scores, sure.margin, sure.confidence) == (None, 2.0, 0.75)
    kept, wrong = records({**row, "confidence": 1}, {**row, "confidence": 70})
    assert (kept.confidence, reason(wrong)) == (1.0, "wrong-type")
    (named,) = records({**row, "gap": 3}, columns={"margin": "gap"})
    assert named.margin == 3


BAD: list[tuple[dict[str, Any], str]] = [
    ({"chosen": "a", "rejected": "a"}, "chosen-equals-rejected"),
    ({"chosen": "a ", "rejected": " a"}, "chosen-equals-rejected"),
    ({"chosen": "a", "rejected": ""}, "empty-response"),
    ({"chosen": "a", "rejected": None}, "empty-response"),
    ({"chosen": "a", "rejected": {"x": 1}}, "wrong-type"),
    ({"chosen": "a", "rejected": b"\x89PNG"}, "not-text"),
    ({"chosen": [U, A], "rejected": [B]}, "not-comparable"),
    ({"chosen": [U, A, U, A], "rejected": [U, B, U, A]}, "not-comparable"),
    ({"prompt": "", "chosen": "a", "rejected": "b"}, "empty-prompt"),
    ({"prompt": [U, A], "chosen": "a", "rejected": "b"}, "bad-role-order"),
    ({"prompt": "other", "chosen": [U, A], "rejected": [U, B]}, "bad-role-order"),
    ({"chosen": "a"}, "missing-column"),
]


@pytest.mark.parametrize(("row", "expected"), BAD)
def test_what_cannot_be_compared_is_dropped_by_its_reason(row: dict[str, Any], expected: str) -> None:
    good = {"prompt": "q", "chosen": "a", "rejected": "b"}
    _, bad = records(good, {"prompt": "q", **row})
    assert reason(bad) == expected


def test_texts_with_nothing_in_common_have_no_prompt() -> None:
    assert [reason(row) for row in records({"chosen": "one two", "rejected": "on the way"})] == ["empty-prompt"]


RANKED: list[tuple[dict[str, Any], tuple[int, ...], tuple[float, ...] | None]] = [
    ({"prompt": "q", "ranked_replies": ["a", "b", "c"]}, (1, 2, 3), None),
    ({"prompt": "q", "completions": ["a", "b", "c"], "ranks": [3, 1, 1]}, (2, 1, 1), None),
    ({"prompt": "q", "completions": ["a", "b", "c"], "ranks": [0, 2, 1]}, (1, 3, 2), None),
    ({"prompt": "q", "responses": ["a", "b"], "scores": [0.5, 2]}, (2, 1), (0.5, 2.0)),
    ({"prompt": "q", "responses": [[A], [B]], "ratings": [3, 3]}, (1, 1), (3.0, 3.0)),
    ({"instruction": "q", "completions": [{"response": "a", "overall_score": 2}, {"response": "b", "overall_score": 9}]},
     (2, 1), (2.0, 9.0)),
    ({"prompt": HH, "answers": [{"answer": "a", "rank": 2.0}, {"answer": "b", "rank": 1.0}]}, (2, 1), None),
    ({"question": "q", "answers": [{"text": "a", "pm_score": 1}, {"text": "b", "pm_score": 1}]}, (1, 1), (1.0, 1.0)),
    ({"question": "q", "predictions": ["a", "b", "c"], "preferences": [[1, 2, 2], [1, 3, "tie"], [2, 3, 2]]},
     (2, 1, 2), None),
]  # fmt: skip


@pytest.mark.parametrize(("row", "ranks", "scores"), RANKED)
def test_ranked_answers(row: dict[str, Any], ranks: tuple[int, ...], scores: tuple[float, ...] | None) -> None:
    (record,) = records(row)
    assert isinstance(record, Preference), record
    assert [turn.content for turn in record.completions] == ["a", "b", "c"][: len(ranks)]
    assert (record.ranks, record.scores) == (ranks, scores)


def test_lists_that_do_not_fit_are_dropped() -> None:
    good = {"prompt": "q", "completions": ["a", "b"], "ranks": [1, 2]}
    rows = [
        {**good, "ranks": [1]},
        {**good, "ranks": [1, "x"]},
        {**good, "ranks": [1, 1.5]},
        {**good, "completions": ["a"]},
    ]
    _, *bad = records(good, *rows)
    assert list(map(reason, bad)) == ["wrong-type", "wrong-type", "wrong-type", "not-comparable"]


def test_comparisons_that_contradict_each_other_become_pairs() -> None:
    row = {"question": "q", "predictions": ["a", "b", "c"], "preferences": [[1, 2, 1], [2, 3, 2], [1, 3, 3]]}
    found = records(row)
    assert [([t.content for t in r.completions], r.ranks) for r in found] == [
        (["a", "b"], (1, 2)),
        (["b", "c"], (1, 2)),
        (["a", "c"], (2, 1)),
    ]
    assert [str(record.source) for record in found] == ["f.jsonl:1#1", "f.jsonl:1#2", "f.jsonl:1#3"]


def test_an_order_is_taken_only_if_it_says_every_comparison() -> None:
    assert ranks_from(compared([[1, 2, 1], [1, 3, 1], [2, 3, "tie"]], 3, "c"), 3) == (1, 2, 2)
    assert ranks_from({(0, 1): 0, (1, 2): 1, (0, 2): TIE}, 3) is None
    assert ranks_from({(0, 1): 0}, 3) is None


TWO: list[tuple[dict[str, Any], tuple[int, int]]] = [
    *(({"response1": "a", "response2": "b", "majority": said}, ranks)
      for said, ranks in ((1, (1, 2)), (2, (2, 1)), (0, (1, 1)), ("2", (2, 1)))),
    *(({"response1": "a", "response2": "b", "label": said}, ranks)
      for said, ranks in (("1", (1, 2)), ("tie", (1, 1)), ("response2", (2, 1)))),
    *(({"response_0": "a", "response_1": "b", "better_response_id": said}, ranks) for said, ranks in ((0, (1, 2)), (1, (2, 1)))),
    *(({"response_a": "a", "response_b": "b", "winner": said}, ranks)
      for said, ranks in (("model_a", (1, 2)), ("model_b", (2, 1)), ("tie (bothbad)", (1, 1)), ("both_bad", (1, 1)),
                          ("A", (1, 2)), ("[[B]]", (2, 1)), ("Response A", (1, 2)), (0, (1, 2)), (2, (2, 1)))),
    ({"answer_0": "a", "answer_1": "b", "score_0": -0.5, "score_1": 0.5}, (2, 1)),
    ({"human_ref_A": "a", "human_ref_B": "b", "score_A": 7, "score_B": 7}, (1, 1)),
    ({"response_1": "a", "response_2": "b", "preference_strength": -2}, (1, 2)),
    ({"response_1": "a", "response_2": "b", "preference_strength": 0}, (1, 1)),
    ({"conversation_a": [U, A], "conversation_b": [U, B], "winner": "model_b"}, (2, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("row", "ranks"), TWO)
def test_two_answers(row: dict[str, Any], ranks: tuple[int, int]) -> None:
    prompt = {} if "conversation_a" in row else {"prompt": "q"}
    (record,) = records({**prompt, **row})
    assert isinstance(record, Preference), record
    assert (said(record.messages), [turn.content for turn in record.completions]) == (Q, ["a", "b"])
    assert record.ranks == ranks


def test_numbers_that_could_mean_either_are_refused() -> None:
    rows = [{"prompt": "q", "response_a": "a", "response_b": "b", "winner": said} for said in (0, 2)]
    with pytest.raises(InputError, match="which number is which"):
        records(*rows)
    missing = {"prompt": "q", "response_a": "a", "response_b": "b", "winner": ""}
    assert [type(row) if isinstance(row, Preference) else reason(row) for row in records(rows[0], missing)] == [
        Preference,
        "empty-label",
    ]


RATED: list[tuple[dict[str, Any], bool | float]] = [
    ({"prompt": "q", "completion": "a", "label": True}, True),
    ({"prompt": "q", "completion": "a", "label": "False"}, False),
    ({"prompt": [U], "completion": [A], "label": False}, False),
    ({"messages": [U, A], "label": True}, True),
    ({"conversations": [U, A], "kto_tag": False}, False),
    ({"instruction": "q", "output": "a", "rating": "thumbs up"}, True),
    ({"question": "q", "answer": "a", "vote": "👎"}, False),
    ({"prompt": "q", "response": "a", "score": 3}, 3.0),
    ({"prompt": "q", "response": "a", "reward": "-0.5"}, -0.5),
]


@pytest.mark.parametrize(("row", "score"), RATED)
def test_rated_answers(row: dict[str, Any], score: bool | float) -> None:
    (record,) = records(row)
    assert isinstance(record, Rated), record
    assert (said(record.messages), record.completion.content) == (Q, "a")
    assert (record.score, type(record.score)) == (score, type(score))


def test_ratings_that_are_none_are_dropped() -> None:
    good = {"prompt": "q", "completion": "a", "label": True}
    layout = [good, {**good, "label": None}]
    assert [reason(row) for row in records(*layout)[1:]] == ["empty-label"]
    (chat, unanswered) = records({"messages": [U, A], "label": True}, {"messages": [U], "label": True})
    assert isinstance(chat, Rated)
    assert reason(unanswered) == "empty-response"


def test_a_label_that_is_no_thumb_leaves_a_chat_a_chat() -> None:
    for label in ("maths", "good", 1):
        assert records({"prompt": "q", "completion": "a", "label": label})[0].kind == "chat"
    assert records({"messages": [U, A], "label": "maths"})[0].kind == "chat"


TREE = {
    "message_tree_id": "1",
    "prompt": {"role": "prompter", "text": "q", "replies": [
        {"role": "assistant", "text": "b", "rank": 1, "replies": []},
        {"role": "assistant", "text": "a", "rank": 0, "replies": [
            {"role": "prompter", "text": "v", "rank": None, "replies": [
                {"role": "assistant", "text": "c", "rank": 0}, {"role": "assistant", "text": "d", "rank": 1},
                {"role": "assistant", "text": "gone", "rank": 2, "deleted": True}]}]},
    ]},
}  # fmt: skip


def test_trees_of_replies() -> None:
    first, second = records(TREE)
    assert (said(first.messages), [t.content for t in first.completions], first.ranks) == (Q, ["a", "b"], (1, 2))
    assert said(second.messages) == [*Q, ("assistant", "a"), ("user", "v")]
    assert [turn.content for turn in second.completions] == ["c", "d"]
    (chat,) = records(TREE, columns={"messages": "prompt"})
    assert said(chat.messages) == [*Q, ("assistant", "a"), ("user", "v"), ("assistant", "c")]
    (lone,) = records({"prompt": {"role": "prompter", "text": "q", "replies": []}})
    assert reason(lone) == "not-comparable"


BY_HAND: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({"ask": "q", "good": "a", "bad": "b"}, {"prompt": "ask", "chosen": "good", "rejected": "bad"}, "preference"),
    ({"good": [U, A], "bad": [U, B]}, {"chosen": "good", "rejected": "bad"}, "preference"),
    ({"ask": "q", "x": "a", "y": "b", "best": "first"}, {"prompt": "ask", "completions": "x, y", "winner": "best"},
     "preference"),
    ({"ask": "q", "x": "a", "y": "b", "s": 2, "t": 1}, {"prompt": "ask", "completions": "x,y", "score": "s,t"},
     "preference"),
    ({"ask": "q", "said": ["a", "b"], "place": [1, 2]}, {"prompt": "ask", "completions": "said", "ranks": "place"},
     "preference"),
    ({"ask": "q", "said": ["a", "b"], "points": [9, 2]}, {"prompt": "ask", "completions": "said", "score": "points"},
     "preference"),
    ({"ask": "q", "said": ["a", "b"]}, {"prompt": "ask", "completions": "said"}, "preference"),
    ({"ask": "q", "said": "a", "points": 4}, {"prompt": "ask", "response": "said", "score": "points"}, "rated"),
    ({"talk": [U, A], "points": 4}, {"messages": "talk", "score": "points"}, "rated"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "columns", "kind"), BY_HAND)
def test_judgements_named_by_hand(row: dict[str, Any], columns: dict[str, str], kind: str) -> None:
    (record,) = records(row, columns=columns)
    assert record.kind == kind, record
    assert said(record.messages) == Q
    if isinstance(record, Preference):
        assert (record.best.content, record.worst.content) == ("a", "b")


def test_the_answers_can_be_learned_from_by_name() -> None:
    row = {"prompt": HH, "chosen": " a", "rejected": " b"}
    (chat,) = records(row, columns={"prompt": "prompt", "response": "chosen"})
    assert [turn.role for turn in chat.messages] == ["user", "assistant", "user", "assistant"]
    (whole,) = records({"chosen": HH + " a", "rejected": HH + " b"}, columns={"messages": "chosen"})
    assert said(whole.messages) == [*TALK, ("assistant", "a")]


def test_every_row_is_recognised_alike_in_any_order_of_columns() -> None:
    for row in (*(row for row, _ in CHOSEN), *(row for row, *_ in RANKED), *(row for row, _ in RATED)):
        turned = dict(reversed(row.items()))
        assert records(turned) == records(row)
        assert raw(row)[0].values == row, "the row itself is left as it was"


REAL: dict[str, tuple[str, int, dict[str, int]]] = {
    "dpo_en_sample": ("preference", 295, {"duplicate": 5}),
    "hh_rlhf_harmless": ("preference", 1841, {"empty-response": 3, "bad-role-order": 3, "not-comparable": 1}),
    "oasst1_ranked": ("preference", 211, {}),
    "autoj_pairwise": ("preference", 962, {"chosen-equals-rejected": 6, "empty-response": 1}),
    "pandalm_human": ("preference", 678, {"duplicate": 60, "empty-response": 41}),
    "qa_feedback": ("preference", 610, {}),
    "kto_en_sample": ("rated", 300, {}),
}


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_real_judgements(shared: Path, name: str) -> None:
    kind, count, drops = REAL[name]
    loaded = load_records([shared / "data" / name])
    assert (loaded.kind, len(loaded.records)) == (kind, count)
    assert Counter(drop.reason for drop in loaded.drops) == drops


@pytest.mark.real
def test_real_ties_and_thumbs_are_as_published(shared: Path) -> None:
    pairs = load_records([shared / "data/autoj_pairwise"]).records
    ties = sum(record.ranks == (1, 1) for record in pairs if isinstance(record, Preference))
    assert 250 <= ties <= 259  # of 259 in the file, less those that were dropped
    rated = load_records([shared / "data/kto_en_sample"]).records
    assert Counter(record.score for record in rated if isinstance(record, Rated)) == {True: 150, False: 150}
