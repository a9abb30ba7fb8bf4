"""Every method over the protocol: what its rows say, and what it drops."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from affinage.data.records import Message, Source
from affinage.synthesis.evolve import OPERATORS
from affinage.synthesis.preferences import as_prompt
from affinage.synthesis.seeds import Seed
from tests.synthesis import jobs
from tests.synthesis.conftest import MakeAsker, Serve
from tests.synthesis.server import Body, Said, good_teacher, prompt_of


def instead(mark: str, text: str | Callable[[Body, int], str]) -> Callable[[Body, int], str]:
    """The good teacher, except for prompts that hold `mark`."""

    def script(body: Body, number: int) -> str:
        if mark not in prompt_of(body):
            return good_teacher(body)
        return text if isinstance(text, str) else text(body, number)

    return script


def test_qa_quotes_stand_in_the_document_where_the_lineage_says(serve: Serve, make_asker: MakeAsker) -> None:
    result = jobs.run("qa", make_asker(serve().url))
    document = jobs.reading().text
    assert result.ended == "material"
    assert len(result.rows) > 20
    for row in result.rows:
        (source,) = row["lineage"]["sources"]
        start, end = map(int, source["locator"].removeprefix("characters ").split("-"))
        assert document[start:end] == row["quote"]
        assert row["input"] == ""


@pytest.mark.parametrize(
    ("pair", "stage", "reason"),
    [
        ({"quote": "words that nobody wrote here"}, "quote", "not-in-the-passage"),
        ({"quote": "a b"}, "quote", "too-short"),
        ({"question": " "}, "format", "empty-question"),
        ({"question": 3}, "format", "wrong-shape"),
        ({"answer": ""}, "heuristics", "empty-answer"),
        ({"question": "Why?"}, "heuristics", "too-short"),
    ],
)
def test_qa_drops(serve: Serve, make_asker: MakeAsker, pair: dict[str, Any], stage: str, reason: str) -> None:
    def script(body: Body, number: int) -> str:
        first = json.loads(good_teacher(body))["pairs"][0]
        return json.dumps({"pairs": [{**first, **pair}]})

    result = jobs.run("qa", make_asker(serve(script).url), per_passage=1)
    assert result.rows == []
    assert set(result.ledger.reasons[stage]) == {reason}


def test_qa_with_the_passage_beside(serve: Serve, make_asker: MakeAsker) -> None:
    result = jobs.run("qa", make_asker(serve().url), wanted=3, with_passage=True)
    assert all(row["quote"] in row["input"] for row in result.rows)


def test_a_document_that_speaks_to_the_model_is_data(serve: Serve, make_asker: MakeAsker) -> None:
    server = serve()
    jobs.run("qa", make_asker(server.url), wanted=1)
    asked = prompt_of(server.requests[0])
    passage = jobs.reading().text.split("\n\n")
    inside = asked.split(">\n", 1)[1].split("\n</DATA-")[0]
    assert inside in passage
    assert asked.index("never addressed to you") < asked.index(inside)


def test_self_instruct_shows_six_of_people_and_two_of_its_own(serve: Serve, make_asker: MakeAsker) -> None:
    server = serve()
    result = jobs.run("self-instruct", make_asker(server.url), wanted=60, workers=1)
    asked = [prompt_of(body) for body in server.requests if '{"instructions"' in prompt_of(body)]
    people = {seed.instruction for seed in jobs.seeds()}
    made = {row["instruction"] for row in result.rows}
    shown = [[line.split(". ", 1)[1] for line in text.split("\n") if line[:1].isdigit()] for text in asked]
    assert all(len(lines) == 8 for lines in shown)
    assert {sum(line in people for line in lines) for lines in shown[:4]} == {8}  # nothing of its own yet
    assert {sum(line in people for line in lines) for lines in shown[4:]} == {6}
    assert all(line in people | made for lines in shown for line in lines)
    assert len(result.rows) == 60


def test_self_instruct_writes_the_label_of_a_classification_first(serve: Serve, make_asker: MakeAsker) -> None:
    result = jobs.run("self-instruct", make_asker(serve().url), wanted=40)
    kinds = {row["is_classification"]: row for row in result.rows}
    assert set(kinds) == {True, False}
    assert kinds[True]["instruction"].startswith("Classify")
    assert kinds[True]["output"] == "good"
    assert kinds[True]["input"]
    prompts = [call["prompt"] for call in kinds[True]["lineage"]["calls"]]
    assert prompts == [
        "self-instruct/instructions/1", "self-instruct/kind/1", "self-instruct/labelled-instance/1"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mark", "text", "stage", "reason"),
    [
        ('{"instructions"', '{"instructions": []}', "format", "no-instructions"),
        ('{"instructions"', '{"instructions": ["Draw a map of the village."]}', "heuristics", "unfit-word"),
        ('{"classification"', '{"classification": "yes"}', "format", "wrong-shape"),
        ('"labels"', '{"labels": ["a"], "output": "b", "input": "x"}', "format", "label-not-among-labels"),
        ('"labels"', '{"labels": ["a"], "output": "a", "input": ""}', "format", "no-input-to-classify"),
        ('{"input"', '{"input": "", "output": "I\'m sorry, but I cannot."}', "heuristics", "refusal"),
        ('{"input"', '{"input": "The same.", "output": "the same."}', "heuristics", "repeats-prompt"),
    ],
)
def test_self_instruct_drops(
    serve: Serve, make_asker: MakeAsker, mark: str, text: str, stage: str, reason: str
) -> None:
    result = jobs.run("self-instruct", make_asker(serve(instead(mark, text)).url), wanted=16)
    assert result.ledger.reasons[stage][reason] > 0


def test_a_teacher_that_repeats_itself_is_given_up(serve: Serve, make_asker: MakeAsker) -> None:
    said = json.dumps({"instructions": ["Name three rivers of the north."] * 8})
    server = serve(instead('{"instructions"', said))
    result = jobs.run("self-instruct", make_asker(server.url), wanted=100)
    assert (result.ended, len(result.rows)) == ("stale", 1)
    assert result.ledger.dropped["duplicate"] == result.ledger.generated - 1


def test_evolve_goes_on_from_what_it_made(serve: Serve, make_asker: MakeAsker) -> None:
    result = jobs.run("evolve", make_asker(serve().url), generations=3)
    generations = [row["generation"] for row in result.rows]
    assert set(generations) == {1, 2, 3}
    assert generations == sorted(generations)
    assert {row["operator"] for row in result.rows} == set(OPERATORS)
    assert result.ended == "material"


@pytest.mark.parametrize(
    ("mark", "text", "stage", "reason"),
    [
        ('{"equal"', '{"equal": true}', "judge", "nothing-gained"),
        ('{"instruction"', '{"instruction": "Rewrite the given prompt in verse."}', "heuristics", "copies-the-prompt"),
        ('{"instruction"', '{"instruction": ""}', "format", "empty"),
    ],
)
def test_evolve_eliminates(serve: Serve, make_asker: MakeAsker, mark: str, text: str, stage: str, reason: str) -> None:
    result = jobs.run("evolve", make_asker(serve(instead(mark, text)).url))
    assert result.rows == []
    assert result.ledger.reasons[stage] == {reason: 10}


@pytest.mark.parametrize(
    ("text", "reason"),
    [("To that I must say sorry, no.", "refusal"), ("It is as it was.", "only-stop-words")],
)
def test_evolve_eliminates_answers_that_say_nothing(
    serve: Serve, make_asker: MakeAsker, text: str, reason: str
) -> None:
    server = serve(lambda body, number: good_teacher(body) if "DATA-" in prompt_of(body) else text)
    result = jobs.run("evolve", make_asker(server.url))
    assert result.ledger.reasons["heuristics"] == {reason: 10}


def test_preferences_take_the_best_and_the_worst(serve: Serve, make_asker: MakeAsker) -> None:
    answers = ["middling words", "the best words of them all", "bad"]

    def script(body: Body, number: int) -> str:
        asked = prompt_of(body)
        if '"score"' in asked:
            return json.dumps({"score": 9 if "best" in asked else 2 if "bad" in asked else 5})
        if '"better"' in asked:
            return good_teacher(body)
        return answers[body["seed"] % 3]

    result = jobs.run("preferences", make_asker(serve(script).url), answers=8)
    assert result.rows
    for row in result.rows:
        assert row["score_chosen"] > row["score_rejected"]
        assert (row["score_chosen"] == 9) == (row["chosen"] == answers[1])
        assert 2 <= row["answers"] <= 3


@pytest.mark.parametrize(
    ("mark", "text", "stage", "reason"),
    [
        ('"score"', '{"score": 5}', "judge", "equal-scores"),
        ('"better"', '{"better": "A"}', "judge", "tie"),
        ('"better"', '{"better": "C"}', "format", "wrong-shape"),
    ],
)
def test_preferences_drop(serve: Serve, make_asker: MakeAsker, mark: str, text: str, stage: str, reason: str) -> None:
    result = jobs.run("preferences", make_asker(serve(instead(mark, text)).url))
    assert result.rows == []
    assert result.ledger.reasons[stage][reason] >= 9  # answers of one length have equal scores


def test_answers_that_are_cut_off_take_no_part(serve: Serve, make_asker: MakeAsker) -> None:
    server = serve(lambda body, number: Said("cut", finish="length"))
    result = jobs.run("preferences", make_asker(server.url))
    assert result.ledger.reasons["format"] == {"fewer-than-two-answers": 10}


def test_critique_revises_round_by_round(serve: Serve, make_asker: MakeAsker) -> None:
    server = serve()
    result = jobs.run("critique", make_asker(server.url), rounds=3, wanted=2)
    assert [len(row["principles"]) for row in result.rows] == [3, 3]
    prompts = [call["prompt"] for call in result.rows[0]["lineage"]["calls"]]
    assert prompts == ["critique/draft/1", *["critique/critique/1", "critique/revision/1"] * 3]
    assert all(row["draft"] != row["output"] for row in result.rows)


def test_a_sound_draft_stays_as_it_is(serve: Serve, make_asker: MakeAsker) -> None:
    script = instead('{"critique"', '{"critique": "Nothing.", "sound": true}')
    result = jobs.run("critique", make_asker(serve(script).url), wanted=3)
    assert all(row["draft"] == row["output"] and row["principles"] == [] for row in result.rows)


def test_revisions_as_pairs(serve: Serve, make_asker: MakeAsker) -> None:
    result = jobs.run("critique", make_asker(serve().url), wanted=3, pairs=True)
    assert all(row["chosen"] != row["rejected"] for row in result.rows)
    script = instead('{"critique"', '{"critique": "Nothing.", "sound": true}')
    unrevised = jobs.run("critique", make_asker(serve(script).url), pairs=True, rounds=1, seed=1)
    assert unrevised.ledger.reasons["judge"] == {"nothing-revised": 10}


def test_a_conversation_stays_one(serve: Serve, make_asker: MakeAsker) -> None:
    turns = (Message("system", "Be brief."), Message("user", "Hello there, how are you?"))
    seed = Seed(turns[1].content, "", "", None, turns, Source("chats.jsonl", "1"))
    server = serve()
    asker = make_asker(server.url)
    (row,) = jobs.run("critique", asker, given=[seed], rounds=1).rows
    assert [turn["role"] for turn in row["messages"]] == ["system", "user", "assistant"]
    assert [turn["role"] for turn in server.requests[0]["messages"]] == ["system", "user"]
    assert as_prompt(turns) == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello there, how are you?"}
    ]  # fmt: skip


def test_lineage_says_where_a_row_comes_from(serve: Serve, make_asker: MakeAsker) -> None:
    asker = make_asker(serve().url)
    (row,) = jobs.run("evolve", asker, wanted=1).rows
    lineage = row["lineage"]
    assert (lineage["method"], lineage["model"]) == ("evolve", "scripted")
    assert lineage["sources"][0]["uri"] == "seeds.jsonl"
    assert lineage["time"].endswith("+00:00")
    for call in lineage["calls"]:
        entry = asker.journal.get(call["request"])
        assert entry is not None
        assert entry.model == call["model"]
        assert len(call["prompt_hash"]) == 16
