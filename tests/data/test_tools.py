"""Chats with tools, calls, results and reasoning, under every chat template that TRL carries."""

from __future__ import annotations

import json
from functools import cache
from itertools import groupby
from typing import Any

import pytest

from affinage.data.plain_template import PLAIN_TEMPLATE
from affinage.data.records import Chat, Message, Source, ToolCall
from affinage.data.rendering import Renderer
from affinage.errors import InputError
from tests.data.small_tokenizer import EOS, small_tokenizer
from tests.data.test_templates_trl import TEMPLATES, by_family

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": 'The "weather" of a <b>city</b>.',
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "a city"},
                "days": {"type": "integer", "description": "how far"},
            },
            "required": ["city"],
        },
    },
}


def call(city: str, number: str = "abcdefgh1") -> ToolCall:
    return ToolCall("get_weather", json.dumps({"city": city, "days": 3}), number)


def result(text: str, number: str = "abcdefgh1") -> Message:
    return Message("tool", text, name="get_weather", call=number)


def answer(text: str = "", *calls: ToolCall, reasoning: str = "") -> Message:
    return Message("assistant", text, calls=calls, reasoning=reasoning)


ASK = Message("user", "How is it there?")
PARIS, ROME = call("Paris"), call("Rome", "abcdefgh2")
SUNNY, DONE = result("Sunny, 21"), answer("It is sunny.")
CASES = {
    "call": (ASK, answer("", call("Par\"i's\\ \n")), SUNNY, DONE),
    "two": (ASK, answer("", PARIS, ROME), SUNNY, result("Rain", "abcdefgh2"), DONE),
    "last": (ASK, answer("", PARIS)),
    "reasoning": (ASK, answer("", PARIS, reasoning="I must look."), SUNNY, answer("It is sunny.", reasoning="So.")),
    "content": (ASK, answer("Let me see.", PARIS), SUNNY, DONE),
    "again": (ASK, answer("", PARIS), SUNNY, DONE, Message("user", "And Rome?"), answer("", ROME), SUNNY, DONE),
}

# Templates without a place for calls, so that such chats must be refused.
NO_CALLS = {
    name + ending
    for name in (
        "cohere", "cohere2", "gemma", "gemma3", "idefics3", "lfm2", "llama3", "llava_next", "phi3", "phi3_5",
        "qwen2_5_vl", "smolvlm",
    )
    for ending in ("", "_training")
} & set(TEMPLATES)  # fmt: skip

# Templates that write calls and results, but no list of tools.
NO_TOOLS = ("deepseek",)

ARGUMENTS_IN_TEXT = ("deepseekv3",)

# What a template cannot take, by the beginning of its name, with what the refusal must say.
ORDER = "or another turn's in the middle of it"  # results stand before what the answer says beside its calls
REFUSED = {
    # it asks for a content that is None, which transformers takes out before the template sees it
    **{("deepseek_r1", case): "leaves out a call of turn 2|refuses the conversation" for case in CASES},
    ("llama3_1", "two"): "only supports single tool-calls",
    ("llama3_2", "two"): "only supports single tool-calls",
    ("gptoss", "two"): "leaves out a call of turn 2",
    ("gptoss", "content"): "leaves out turn 2",
    ("llama3_1", "content"): "leaves out turn 2",
    ("llama3_2", "content"): "leaves out turn 2",
    ("muse_glimmer", "content"): "leaves out turn 2",
    ("diffusion_gemma", "content"): ORDER,
    ("gemma4", "content"): ORDER,
    ("lfm2_v2", "reasoning"): "the reasoning of the last answer",
    ("llama3_1", "reasoning"): "the reasoning of the last answer",
    ("llama3_2", "reasoning"): "the reasoning of the last answer",
    ("gemma4", "reasoning"): "the reasoning of the last answer",
    ("deepseek", "reasoning"): "the reasoning of the last answer",
    ("qwen2_5", "reasoning"): "the reasoning of the last answer",
    ("qwen3_instruct_2507", "reasoning"): "the reasoning of the last answer",
    ("qwen3_vl", "reasoning"): "the reasoning of the last answer",
}
TAKEN = {("gemma4_v2", "content"), ("gemma4_v5", "reasoning")}  # unlike others of their family

# The token after a call; elsewhere it is the one after a plain answer.
CALL_ENDS = {
    "gptoss": "<|call|>",
    "glm4moe": "<|observation|>",
    "diffusion_gemma": "<|tool_response>",
    "gemma4_v2": "<turn|>",
    "gemma4": "<|tool_response>",
}


@cache
def renderer(name: str, learn_from: str = "completions") -> Renderer:
    source = PLAIN_TEMPLATE if name == "plain" else TEMPLATES[name]
    options = {"system_prompt": None, "context": 8192, "too_long": "error", "learn_from": learn_from}
    return Renderer(small_tokenizer(source), **options)


def tools_for(name: str) -> tuple[str, ...]:
    return () if name.startswith(NO_TOOLS) else (json.dumps(TOOL),)


def chat(name: str, messages: tuple[Message, ...]) -> Chat:
    return Chat(messages=messages, tools=tools_for(name), source=Source("chats.jsonl", "3"))


def stock(name: str, messages: tuple[Message, ...]) -> list[int]:
    """Token ids by the tokenizer's own method, from messages in the form that transformers documents."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        turn: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.reasoning:
            turn |= {"reasoning_content": message.reasoning, "thinking": message.reasoning}
        if message.calls:
            in_text = name in ARGUMENTS_IN_TEXT
            given = [one.arguments if in_text else json.loads(one.arguments) for one in message.calls]
            functions = ({"name": one.name, "arguments": it} for one, it in zip(message.calls, given, strict=True))
            both = zip(message.calls, functions, strict=True)
            turn["tool_calls"] = [{"type": "function", "id": one.id, "function": function} for one, function in both]
        if message.role == "tool":
            turn |= {"name": message.name, "tool_call_id": message.call}
        turns.append(turn)
    tools = [json.loads(tool) for tool in tools_for(name)] or None
    told = renderer(name).tokenizer.apply_chat_template(turns, tools=tools, tokenize=True, return_dict=True)
    return list(told["input_ids"])


def learned_parts(made: Renderer, record: Chat) -> list[str]:
    shown = made.explain(made.chat(record))
    return ["".join(text for text, _ in group) for learned, group in groupby(shown, lambda item: item[1]) if learned]


def refusal(name: str, case: str) -> str | None:
    if name in NO_CALLS:
        return "has no place for `tools` and `tool_calls`|has no place for `tool_calls`"
    if (name, case) in TAKEN:
        return None
    return by_family({family: word for (family, which), word in REFUSED.items() if which == case}, name)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["plain", *TEMPLATES])
def test_ids_are_the_tokenizers_own_and_what_the_model_writes_is_learned(name: str, case: str) -> None:
    made, messages = renderer(name), CASES[case]
    if said := refusal(name, case):
        with pytest.raises(InputError, match=said) as caught:
            made.rows([chat(name, messages)])
        assert caught.value.message.startswith("chats.jsonl:3: ")
        return
    record = chat(name, messages)
    row, own = made.chat(record), stock(name, messages)
    ids = row.tokens_T.tolist()
    assert ids[: len(own)] == own
    assert made.tokenizer.decode(ids[len(own) :]) in ("", "<|user|>", "\n<|observation|>", "<|observation|>")
    parts = learned_parts(made, record)
    answers = [message for message in messages if message.role == "assistant"]
    assert len(parts) == len(answers)
    for part, message in zip(parts, answers, strict=True):
        assert message.content in part
        for one in message.calls:
            assert one.name in part
            assert all(value in part for value in ("3", json.loads(one.arguments)["city"][:3]))
        assert ("Sunny" in part, "How is" in part) == (False, False)
    assert any(message.reasoning in parts[-1] for message in answers[-1:])


@pytest.mark.parametrize("name", sorted(name for name in TEMPLATES if not refusal(name, "again")))
def test_a_call_is_learned_from_the_generation_prompt_to_the_end_of_its_turn(name: str) -> None:
    made, record = renderer(name), chat(name, CASES["again"])
    row, parts = made.chat(record), learned_parts(made, chat(name, CASES["again"]))
    end = CALL_ENDS.get(name) or by_family(CALL_ENDS, name)
    for number in (0, 2):
        assert not end or parts[number].endswith(end)
        last = made.tokenizer(parts[number], add_special_tokens=False).input_ids[-1]
        assert last in made.stop_ids
    for number in (1, 3, 5, 7):
        prompt = made.prompt(record.messages[:number], record.tools)
        if row.tokens_T.tolist()[: len(prompt)] == prompt:  # not where a later turn changes what stands before
            assert row.weights_T[len(prompt)] == 1
    assert row.tokens_T.tolist()[: len(prompt)] == prompt  # never so for the last answer


def test_the_templates_without_a_place_for_calls_are_those_listed() -> None:
    assert {name for name, source in TEMPLATES.items() if "tool_calls" not in source} == NO_CALLS
    assert {name for name, source in TEMPLATES.items() if "tools" not in source} - NO_CALLS == {
        name for name in TEMPLATES if name.startswith(NO_TOOLS)
    }
    with pytest.raises(InputError, match="no place for `tools`"):
        renderer("deepseekv3").chat(Chat(messages=CASES["call"], tools=(json.dumps(TOOL),)))


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
