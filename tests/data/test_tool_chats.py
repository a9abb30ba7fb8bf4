"""Chats with tools: the plain template, roles, results, and text that must not become control tokens."""

from __future__ import annotations

import json

import pytest

from affinage.data.records import Chat, Message, Source, ToolCall
from affinage.data.rendering.renderer import Renderer
from affinage.errors import InputError
from tests.data.small_tokenizer import EOS, small_tokenizer
from tests.data.test_templates_trl import TEMPLATES
from tests.data.test_tools import ASK, CASES, DONE, SUNNY, TOOL, answer, call, chat, learned_parts, renderer, result


def test_the_plain_template_writes_all_of_it() -> None:
    made = renderer("plain")
    shown = made.tokenizer.decode(made.chat(chat("plain", CASES["reasoning"])).tokens_T)
    body = '{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}'
    assert shown == (
        f"### Tools:\n{json.dumps(TOOL)}\n\n### User:\nHow is it there?\n\n"
        f"### Assistant:\n<think>\nI must look.\n</think>\n\n<tool_call>\n{body}\n</tool_call>{EOS}\n\n"
        f"### Tool:\nSunny, 21\n\n### Assistant:\n<think>\nSo.\n</think>\n\nIt is sunny.{EOS}\n\n"
    )


def test_roles_choose_what_is_learned() -> None:
    record = chat("plain", CASES["call"])
    body = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Par\\"i\'s\\\\ \\n", "days": 3}}\n</tool_call>'
    wanted = {
        "assistant": [body + EOS, DONE.content + EOS],
        "tool": [SUNNY.content],
        "user,tool": [ASK.content, SUNNY.content],
        "last": [DONE.content + EOS],
    }
    for learn_from, parts in wanted.items():
        assert learned_parts(renderer("plain", learn_from), record) == parts
    with pytest.raises(InputError, match="learn_from: 'assistant,robot' is unknown"):
        renderer("plain", "assistant,robot")


def test_earlier_reasoning_that_a_template_drops_is_counted() -> None:
    made = Renderer(
        small_tokenizer(TEMPLATES["qwen3"]), system_prompt=None, context=999, too_long="error", learn_from="last"
    )
    turns = (ASK, answer("Yes.", reasoning="Hm."), Message("user", "And now?"), answer("No.", reasoning="Oh."))
    made.rows([Chat(messages=turns), Chat(messages=turns[:2])])
    assert made.left_out == {"reasoning": 1}


@pytest.mark.parametrize("name", ["qwen3", "gemma4_v5", "llama3_1", "glm4moe", "gptoss"])
def test_no_text_of_a_call_a_result_or_a_tool_can_write_control_tokens(name: str) -> None:
    made = renderer(name)
    control = set(made._encoder.control.values())

    def count(city: str, back: str, told: str) -> int:
        tool = {**TOOL, "function": {**TOOL["function"], "description": told}}  # type: ignore[dict-item]
        messages = (ASK, answer("", call(city)), result(back), DONE)
        row = made.chat(Chat(messages=messages, tools=(json.dumps(tool),)))
        return sum(number in control for number in row.tokens_T.tolist())

    word = next(
        token
        for token in made._encoder.control
        if "end" in token or "eot" in token or "user" in token or "turn" in token
    )
    plain = count("a", "b", "c")
    assert count(f"a{word}", "b", "c") == count("a", f"b{word}", "c") == count("a", "b", f"c {word} d") == plain
    for tag in ("</think>", "<tool_call>"):  # an answer may write these, nobody else
        rows = [made.chat(Chat(messages=(Message("user", text), DONE))) for text in (tag, f"a{tag}")]
        assert len({sum(number in control for number in row.tokens_T.tolist()) for row in rows}) == 1
    named = Message("assistant", "", calls=(ToolCall(f"f{word}", "{}"),))
    with pytest.raises(InputError, match="holds a control word"):
        made.chat(Chat(messages=(ASK, named)))


def test_results_find_the_call_that_they_answer() -> None:
    source = (
        "{% for m in messages %}{{ m.role }}:{% for c in m.tool_calls %}{{ c.function.name }} "
        "{{ c.function.arguments | tojson }}{% endfor %}{{ m.name }}={{ m.content }}{{ eos_token }}{% endfor %}"
    )
    made = Renderer(small_tokenizer(source), system_prompt=None, context=999, too_long="error", learn_from="last")
    both = answer("", ToolCall("one", "{}", "1"), ToolCall("two", '{"a": [1, "x"]}', "2"))
    for results in (
        (Message("tool", "first"), Message("tool", "second")),
        (Message("tool", "first", call="1"), Message("tool", "second", call="2")),
        (Message("tool", "first", name="one"), Message("tool", "second", name="two")),
    ):
        text = made.tokenizer.decode(made.chat(Chat(messages=(ASK, both, *results, DONE))).tokens_T)
        assert f"one=first{EOS}" in text
        assert f"two=second{EOS}" in text


@pytest.mark.parametrize("arguments", ["{", "[" * 100_000])
def test_calls_that_are_not_json_are_refused(arguments: str) -> None:
    wrong = Message("assistant", "", calls=(ToolCall("f", arguments),))
    with pytest.raises(InputError, match=r"chats.jsonl:3: a call or tool is not JSON"):
        renderer("plain").rows([Chat(messages=(ASK, wrong), source=Source("chats.jsonl", "3"))])


def test_a_bare_tool_is_put_into_its_envelope() -> None:
    made = renderer("qwen3")
    rows = [
        made.chat(Chat(messages=CASES["last"], tools=(json.dumps(tool),))).tokens_T.tolist()
        for tool in (TOOL, TOOL["function"], {"type": "function", **TOOL["function"]})  # type: ignore[dict-item]
    ]
    assert rows[0] == rows[1] == rows[2]
