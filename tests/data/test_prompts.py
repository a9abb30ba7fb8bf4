"""Prompts as people write them, and turns written as data files hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from affinage.data.layouts.prompts import Asked, as_data, prompt_of, several
from affinage.data.layouts.turns import parse_turns
from affinage.data.load import load_records
from affinage.data.records import Chat, Message, Prompt, Record, ToolCall
from affinage.data.redaction import redacted
from affinage.data.wording import whole_text
from affinage.errors import InputError

TOOL = {"name": "look", "description": "ask anna@example.org", "parameters": {}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "rind"}'}}
ASKED: list[dict[str, Any]] = [
    {"role": "user", "content": "How is it?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "Fine"},
]
TURNS = (
    Message("user", "How is it?"),
    Message("assistant", "", calls=(ToolCall("look", '{"at": "rind"}', "c1"),)),
    Message("tool", "Fine", name="look", call="c1"),
)


def test_every_way_to_ask_is_read() -> None:
    assert prompt_of("How is it?").messages == TURNS[:1]
    assert prompt_of(ASKED) == Prompt(messages=TURNS)
    assert prompt_of(TURNS) == prompt_of([TURNS[0], *ASKED[1:]]) == Prompt(messages=TURNS)
    with_tools = prompt_of({"messages": ASKED, "tools": [TOOL]})
    assert (with_tools.messages, [json.loads(tool) for tool in with_tools.tools]) == (TURNS, [TOOL])
    assert prompt_of(with_tools) is with_tools


@pytest.mark.parametrize(
    "asked",
    [
        [{"role": "user"}],
        [{"content": "a"}],
        [{"role": "robot", "content": "a"}],
        [3],
        {"messages": 3},
        {"tools": []},
        {"messages": ASKED, "tools": "{"},
    ],
)
def test_what_cannot_be_read_is_refused(asked: Asked) -> None:
    with pytest.raises(InputError, match="a prompt cannot be read"):
        prompt_of(asked)


def test_one_conversation_is_not_several() -> None:
    for one in ("a", ASKED, {"messages": ASKED}, TURNS, Prompt(messages=TURNS)):
        assert several(one) == [one]  # type: ignore[arg-type]
    for many in (["a", "b"], [ASKED, ASKED], [{"messages": ASKED}], [Prompt(messages=TURNS)], []):
        assert several(many) == many  # type: ignore[arg-type]


def test_turns_are_written_so_that_they_are_read_again() -> None:
    turns = [*TURNS, Message("assistant", "It is fine.", reasoning="Fine?")]
    assert parse_turns(json.loads(json.dumps(as_data(turns))), "messages") == turns


def test_prompts_of_a_file_keep_their_functions(tmp_path: Path) -> None:
    def read(**row: Any) -> Record:
        path = tmp_path / "rows.jsonl"
        path.write_text(json.dumps(row) + "\n")
        (record,) = load_records([str(path)]).records
        return record

    asked, plain = read(messages=ASKED, tools=[TOOL]), read(messages=ASKED)
    assert isinstance(asked, Prompt)
    assert isinstance(plain, Prompt)
    assert [json.loads(tool) for tool in asked.tools] == [TOOL]
    assert plain.tools == ()
    assert asked.id != plain.id == Prompt(messages=TURNS).id
    alone = read(prompt="How is it?", tools=[TOOL], reference="Fine")
    assert isinstance(alone, Prompt)
    assert (alone.reference, len(alone.tools)) == ("Fine", 1)


def test_functions_and_calls_are_part_of_what_is_said() -> None:
    asked = Prompt(messages=TURNS, tools=(json.dumps(TOOL),), reference="Write to bob@example.org")
    changed, counts = redacted(asked)
    assert counts == {"EMAIL": 2}
    assert "EMAIL" in changed.tools[0]
    one, other = (
        Chat(messages=(TURNS[0], Message("assistant", "", calls=(ToolCall("look", f'{{"at": "{at}"}}'),))))
        for at in ("rind", "curd")
    )
    assert whole_text(one) == 'How is it?\nlook({"at": "rind"})'
    assert whole_text(one) != whole_text(other)
