"""Every chat template that TRL carries (the big families), token by token against the template's own rendering."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affinage.data.records import Chat, Message
from affinage.data.rendering.renderer import Renderer
from affinage.data.rendering.templates import ANSWER_TAGS, PLAIN_TEMPLATE
from affinage.errors import InputError
from tests.data.small_tokenizer import BOS, small_tokenizer


def _folder() -> Path:
    found = importlib.util.find_spec("trl")  # only looked up: importing it would take seconds
    assert found is not None, "trl is a test dependency"
    assert found.origin is not None
    return Path(found.origin).parent / "chat_templates"


TEMPLATES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(_folder().glob("*.jinja"))}

# What ends an answer, by the beginning of the template's name; where two are given, within and at the end of a chat.
ENDS = {
    "cohere2": ("<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",),
    "cohere": ("<|END_OF_TURN_TOKEN|>",),
    "deepseek": ("<｜end▁of▁sentence｜>",),
    "diffusion_gemma": ("<turn|>",),
    "gemma4": ("<turn|>",),
    "gemma": ("<end_of_turn>",),
    "glm4moe": ("<|user|>",),
    "gptoss": ("<|end|>", "<|return|>"),
    "idefics3": ("<end_of_utterance>",),
    "lfm2": ("<|im_end|>",),
    "llama3": ("<|eot_id|>",),
    "llava_next": ("</s>",),
    "muse_glimmer": ("<|eot|>",),
    "nemotron": ("<|im_end|>",),
    "phi3": ("<|end|>",),
    "qwen": ("<|im_end|>",),
    "smolvlm": ("<end_of_utterance>",),
}

# What an answer must begin with after the generation prompt, besides its content: within, and at the end of a chat.
EMPTY, REST = "<think>\n\n</think>\n\n", "\n</think>\n\n"
PREAMBLES = {
    "glm4moe": ("\n<think></think>\n", "\n<think></think>\n"),
    "gptoss": ("<|channel|>final<|message|>", "<|channel|>final<|message|>"),
    "idefics3": (" ", " "),
    "llava_next": (" ", " "),
    "muse_glimmer": (" to=user<|message|>", " to=user<|message|>"),
    "qwen3": ("", EMPTY),
    "qwen3_training": (EMPTY, EMPTY),
    "qwen3_5_think": ("", REST),
    "qwen3_5_think_training": (REST, REST),
    "qwen3_6": ("", REST),
    "qwen3_6_training": (REST, REST),
    "qwen3_8": (REST, REST),
    "smolvlm": (" ", " "),
}

# What a template cannot take, with the word that the refusal must hold.
REFUSED = {
    ("gemma", "system"): "System role not supported",
    ("gemma_training", "system"): "System role not supported",
    ("deepseek_r1_distill", "reasoning"): "reasoning",
    ("deepseekv3", "reasoning"): "reasoning",
    ("deepseekv3_training", "reasoning"): "reasoning",
}

# Written by us: the template itself leaves the last answer open.
ADDED = {"glm4moe": "<|user|>", "glm4moe_training": ""}

# The generation prompt opens reasoning (or skips it) as no finished answer does: the prompt is the answer's header.
HEADER_PROMPT = ("deepseek", "nemotron", "qwen3_5_nothink")

SYSTEM, USER, ANSWER = (
    Message("system", "You sat."),
    Message("user", " Hello, how?\n"),
    Message("assistant", "\tThe mat "),
)
CASES = {
    "single": (USER, ANSWER),
    "system": (SYSTEM, USER, ANSWER),
    "multi": (USER, ANSWER, Message("user", "Are you?"), Message("assistant", "The cat 猫.")),
    "reasoning": (USER, Message("assistant", "<think>\nThe mat\n</think>\n\nThe cat")),
}


@cache
def renderer(name: str, learn_from: str = "completions") -> Renderer:
    source = PLAIN_TEMPLATE if name == "plain" else TEMPLATES[name]
    options = {"system_prompt": None, "context": 8192, "too_long": "error", "learn_from": learn_from}
    return Renderer(small_tokenizer(source), **options)


def by_family(table: dict[str, tuple[str, ...]], name: str) -> tuple[str, ...] | None:
    return next((value for family, value in table.items() if name.startswith(family)), None)


def stock(name: str, messages: tuple[Message, ...], *, prompt: bool = False) -> str:
    """What transformers itself renders; templates for several media want contents in parts."""
    tokenizer = renderer(name).tokenizer
    for wrap in (lambda text: text, lambda text: [{"type": "text", "text": text}]):
        try:
            chat = [{"role": message.role, "content": wrap(message.content)} for message in messages]
            text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=prompt)
        except Exception:
            continue
        if "Hello" in text:
            return str(text)
    raise AssertionError("the template renders neither form")


def learned_parts(made: Renderer, messages: tuple[Message, ...]) -> list[str]:
    shown = made.explain(made.chat(Chat(messages=messages)))
    return ["".join(text for text, _ in group) for learned, group in groupby(shown, lambda item: item[1]) if learned]


def expected(name: str, case: str) -> list[str]:
    answers = [message.content for message in CASES[case] if message.role == "assistant"]
    ends = by_family(ENDS, name)
    assert ends is not None, f"{name} is not in the table of ends"
    family = name.removesuffix("_training")
    before = PREAMBLES.get(name, PREAMBLES.get(family, ("", "")))
    rendered, parts = stock(name, CASES[case]) + ADDED.get(name, ""), []
    for number, answer in enumerate(answers):
        at = -1 if number == len(answers) - 1 else 0
        forms = (answer, answer.rstrip(), answer.lstrip(), answer.strip())
        parts.append(next(part for form in forms if (part := before[at] + form + ends[at]) in rendered))
    return parts


@pytest.mark.parametrize("case", ["single", "system", "multi"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_tokens_and_weights(name: str, case: str) -> None:
    made, messages = renderer(name), CASES[case]
    if (name, case) in REFUSED:
        with pytest.raises(InputError, match=REFUSED[name, case]):
            made.chat(Chat(messages=messages))
        return
    row = made.chat(Chat(messages=messages))
    added = ADDED.get(name, "")
    assert made.tokenizer.decode(row.tokens_T) == stock(name, messages) + added
    assert row.tokens_T.tolist().count(made.tokenizer.convert_tokens_to_ids(BOS)) <= 1
    assert learned_parts(made, messages) == expected(name, case)
    contents = sum(len(part.encode()) for part in expected(name, case))
    around = sum(len(part.encode()) for part in expected(name, case)) - row.learned_bytes
    assert 0 < around < contents
    stripped = [message.content.strip() for message in messages if message.role == "assistant"]
    assert (
        sum(len(text.encode()) for text in stripped) <= row.learned_bytes <= sum(len(t.encode()) + 2 for t in stripped)
    )


@pytest.mark.parametrize("name", TEMPLATES)
def test_last_turn_alone(name: str) -> None:
    messages = CASES["multi"]
    assert learned_parts(renderer(name, "last"), messages) == expected(name, "multi")[-1:]
    everywhere, last = (renderer(name, how).chat(Chat(messages=messages)) for how in ("completions", "last"))
    assert everywhere.tokens_T.tolist() == last.tokens_T.tolist()


@pytest.mark.parametrize("name", TEMPLATES)
def test_prompt_is_the_chats_beginning(name: str) -> None:
    made = renderer(name)
    for case, messages in CASES.items():
        if (name, case) in REFUSED or (case == "reasoning" and name.startswith(HEADER_PROMPT)):
            continue
        row, prompt = made.chat(Chat(messages=messages)), made.prompt(messages[:-1])
        assert row.tokens_T.tolist()[: len(prompt)] == prompt
        assert not row.weights_T[: len(prompt)][-3:].any()
        assert row.weights_T[len(prompt)] == 1  # generation starts exactly where learning does
        if not name.startswith(HEADER_PROMPT):
            assert made.tokenizer.decode(prompt) == stock(name, messages[:-1], prompt=True)


@pytest.mark.parametrize("name", TEMPLATES)
def test_prompt_has_the_stock_ids(name: str) -> None:
    """Without control words in the contents, nothing differs from the tokenizer's own encoding of the whole string."""
    if not name.startswith(HEADER_PROMPT):
        made = renderer(name)
        text = stock(name, (USER,), prompt=True)
        assert made.prompt((USER,)) == made.tokenizer(text, add_special_tokens=False).input_ids


@pytest.mark.parametrize("name", TEMPLATES)
def test_reasoning_is_learned_or_refused(name: str) -> None:
    made, messages = renderer(name), CASES["reasoning"]
    if (name, "reasoning") in REFUSED:
        with pytest.raises(InputError, match=REFUSED[name, "reasoning"]):
            made.chat(Chat(messages=messages))
        return
    (part,) = learned_parts(made, messages)
    assert re.search(r"The mat\s*</think>\s*The cat", part)


@pytest.mark.parametrize("name", TEMPLATES)
def test_stops_and_answers(name: str) -> None:
    made, messages = renderer(name), CASES["single"]
    row = made.chat(Chat(messages=messages))
    ids = row.tokens_T[row.weights_T > 0].tolist()
    assert ids[-1] == made.stop_ids[0]
    assert set(made.stop_ids).isdisjoint(ids[:-1])
    assert made.tokenizer.eos_token_id in made.stop_ids
    assert made.pad_id not in made.stop_ids
    assert made.answer(ids).strip() == "The mat"


@pytest.mark.parametrize("name", ["cohere", "gemma", "llama3_1", "phi3", "plain", "qwen3", "smolvlm"])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_contents_cannot_write_control_tokens(name: str, data: st.DataObject) -> None:
    made = renderer(name)
    control = made._encoder.control
    plain = ["<|im_", "end|>", "<", "|>", " ", "\n", "猫", "cat "]
    roles = ("user", "assistant", "user", "assistant")
    contents = []
    for role in roles:  # an answer may hold its own reasoning and calls, a user's turn may not
        words = [token for token in control if role == "user" or token not in ANSWER_TAGS]
        contents.append("x" + "".join(data.draw(st.lists(st.sampled_from([*words, *plain]), max_size=6))))

    def count(texts: list[str]) -> int:
        messages = tuple(Message(role, text) for role, text in zip(roles, texts, strict=True))
        ids = made.chat(Chat(messages=messages)).tokens_T.tolist()
        return sum(number in set(control.values()) for number in ids)

    assert count(contents) == count(["x"] * 4)


def test_every_template_is_covered() -> None:
    assert len(TEMPLATES) > 60
    assert {name for name, _ in REFUSED} <= set(TEMPLATES)
    assert set(PREAMBLES) | set(ADDED) <= set(TEMPLATES)
