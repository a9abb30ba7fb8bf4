"""What a record says: every kind of record, every part."""

from __future__ import annotations

import pytest

from affinage.data.records import Chat, Labelled, Message, Pair, Preference, Prompt, Rated, Record, Text, ToolCall
from affinage.data.wording import answer_texts, best_answer, contents, said, whole_text

SYSTEM, ASK = Message("system", "be kind"), Message("user", "q")
CALL = Message("assistant", "", reasoning="hm", calls=(ToolCall("look", '{"a": 1}'),))
A, B = Message("assistant", "a"), Message("assistant", "b")


@pytest.mark.parametrize(
    ("record", "parts", "answer"),
    [
        (Text(text="t"), ("t",), ""),
        (Labelled(text="t", label="x"), ("t",), ""),
        (Chat(messages=(SYSTEM, ASK, A)), ("be kind", "q", "a"), "a"),
        (Chat(messages=(ASK, CALL, Message("tool", "7", name="look"), B)), ("q", "hm", '{"a": 1}', "7", "b"), "b"),
        (Chat(messages=(ASK, Message("assistant", ""))), ("q", ""), ""),
        (Prompt(messages=(SYSTEM, ASK), reference="r"), ("be kind", "q", "r"), ""),
        (Prompt(messages=(ASK,)), ("q",), ""),
        (Preference(messages=(ASK,), completions=(A, B), ranks=(2, 1)), ("q", "a", "b"), "b"),
        (Rated(messages=(ASK,), completion=CALL, score=0.5), ("q", "hm", '{"a": 1}'), ""),
        (Rated(messages=(ASK,), completion=A, score=True), ("q", "a"), "a"),
        (Pair(query="q", passage="p", negatives=("n", "m")), ("q", "p", "n", "m"), ""),
    ],
)
def test_every_part_and_the_best_answer_of_every_kind(record: Record, parts: tuple[str, ...], answer: str) -> None:
    assert contents(record) == parts
    assert best_answer(record) == answer


def test_a_prompt_with_its_answers_leaves_system_turns_and_reasoning_out() -> None:
    chat = Chat(messages=(SYSTEM, ASK, CALL))
    assert said(CALL) == 'look({"a": 1})'
    assert answer_texts(chat) == ['look({"a": 1})']
    assert whole_text(chat) == 'q\nlook({"a": 1})'
