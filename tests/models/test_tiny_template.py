"""The chat template of the bundled base."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from transformers import AutoTokenizer

import affinage
from affinage.data.records import Chat, Message, ToolCall
from affinage.data.rendering.renderer import Renderer

FOLDER = Path(affinage.__file__).parent / "models" / "tiny"
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}
CHATML = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ASK, DONE = Message("user", "How is it?"), Message("assistant", "Fine.")


def renderer(template: str | None = None) -> Renderer:
    settings = {"system_prompt": None, "learn_from": "completions", "context": 512, "too_long": "error"}
    return Renderer(AutoTokenizer.from_pretrained(FOLDER), template=template, **settings)  # type: ignore[arg-type]


def test_it_writes_plain_chats_as_the_base_was_trained_on() -> None:
    chats = [
        Chat(messages=(ASK, DONE)),
        Chat(messages=(Message("system", "Be <think> brief."), ASK, DONE, Message("user", " So? "), DONE)),
    ]
    ours, plain = renderer(), renderer(CHATML)
    for chat in chats:
        assert ours.chat(chat).tokens_T.tolist() == plain.chat(chat).tokens_T.tolist()
        assert ours.chat(chat).weights_T.tolist() == plain.chat(chat).weights_T.tolist()
        assert ours.prompt(chat.prompt) == plain.prompt(chat.prompt)
    assert ours.stop_ids == plain.stop_ids


def test_it_writes_functions_calls_results_and_reasoning() -> None:
    call = Message("assistant", "", calls=(ToolCall("look", '{"at": "rind"}'),), reasoning="I must look.")
    chat = Chat(messages=(ASK, call, Message("tool", "9 °C"), DONE), tools=(json.dumps(TOOL),))
    ours = renderer()
    shown = ours.explain(ours.chat(chat))
    assert "".join(text for text, _ in shown) == (
        f"<s><|im_start|>tools\n{json.dumps(TOOL)}<|im_end|>\n<|im_start|>user\nHow is it?<|im_end|>\n"
        '<|im_start|>assistant\n<think>\nI must look.\n</think>\n\n<tool_call>\n{"name": "look", "arguments": '
        '{"at": "rind"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>tool\n9 °C<|im_end|>\n<|im_start|>assistant\nFine.<|im_end|>\n"
    )
    learned = "".join(text for text, told in shown if told)
    assert learned.startswith("<think>")
    assert learned.endswith("</tool_call><|im_end|>Fine.<|im_end|>")


def test_the_script_that_makes_the_base_writes_the_same() -> None:
    script = Path(__file__).parents[2] / "bases" / "tiny" / "tokenizer.py"
    found = [
        node.value
        for node in ast.parse(script.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CHAT_TEMPLATE"
    ]
    assert ast.literal_eval(found[0]) == (FOLDER / "chat_template.jinja").read_text(encoding="utf-8")
