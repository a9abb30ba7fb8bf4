"""Chats with tools, calls, results and reasoning, under every chat template that TRL carries."""

from __future__ import annotations

import json
from functools import cache
from itertools import groupby
from typing import Any

import pytest

from affinage.data.records import Chat, Message, Source, ToolCall
from affinage.data.rendering.plain_template import PLAIN_TEMPLATE
from affinage.data.rendering.renderer import Renderer
from affinage.errors import InputError
from tests.data.small_tokenizer import small_tokenizer
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
