"""Rows that come out of moulds equal those that are laid out one by one, and templates are asked where they must be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affinage.data.records import Chat, Message
from affinage.data.rendering.plain_template import PLAIN_TEMPLATE
from affinage.data.rendering.renderer import Renderer
from affinage.data.rendering.shapes import word
from affinage.data.rendering.watching import written_and_sought
from affinage.errors import InputError
from tests.data.small_tokenizer import BOS, EOS, small_tokenizer
from tests.data.test_rendering import BRACKETS, CHATML
from tests.data.test_templates_trl import TEMPLATES

SOURCES = {
    "plain": PLAIN_TEMPLATE,
    "chatml": CHATML,
    "brackets": "{{ bos_token }}" + BRACKETS,
    "stripping": CHATML.replace("m.content", "(m.content | trim)"),
    **{name: TEMPLATES[name] for name in ("cohere2", "deepseekv3", "gemma3", "llama3_1", "phi3", "qwen3", "qwen3_6")},
}
PARTS = [
    "a",
    "cat ",
    " ",
    "\n",
    "猫",
    "é",
    "</think>",
    "<think>",
    "<|im_end|>",
    "<tool_response>",
    "{",
    "zqv1x0vqz",
    EOS,
]
CONTENTS = st.lists(st.sampled_from(PARTS), min_size=1, max_size=5).map("".join)


def renderer(source: str, *, moulds: bool = True, **options: Any) -> Renderer:
    given_options = {"system_prompt": None, "learn_from": "completions", "context": 4096, "too_long": "truncate"}
    made = Renderer(small_tokenizer(source, adds_bos=source == CHATML), **(given_options | options))
    if not moulds:
        made._drafter._moulds.find = lambda turns, learned: None  # type: ignore[method-assign]
    return made


MADE = {
    (name, how): (renderer(source, learn_from=how), renderer(source, learn_from=how, moulds=False))
    for name, source in SOURCES.items()
    for how in ("completions", "all")
}


def rows(made: Renderer, chats: Sequence[Chat]) -> list[Any] | str:
    try:
        found, drops = made.rows(chats)
    except InputError as error:
        return error.message
    told = [(row.tokens_T.tolist(), row.weights_T.tolist(), row.record_id, row.learned_bytes) for row in found]
    return [told, [(drop.reason, drop.record_id) for drop in drops]]


@pytest.mark.parametrize("name", SOURCES)
@given(
    contents=st.lists(st.tuples(CONTENTS, CONTENTS), min_size=1, max_size=3),
    how=st.sampled_from(["completions", "all"]),
    learn=st.sampled_from([None, False, True]),
)
@settings(max_examples=40, deadline=None)
def test_rows_are_the_same(name: str, contents: list[tuple[str, str]], how: str, learn: bool | None) -> None:
    chats = [Chat(messages=(Message("user", ask, learn), Message("assistant", told))) for ask, told in contents]
    joined = [turn for chat in chats for turn in chat.messages]
    fast, slow = MADE[name, how]
    for some in (chats, [Chat(messages=tuple(joined))]):
        assert rows(fast, some) == rows(slow, some)


@pytest.mark.parametrize("context", range(12, 40, 3))
def test_cut_rows_are_the_same(context: int) -> None:
    chats = [
        Chat(messages=(Message("user", ask), Message("assistant", told)))
        for ask, told in (("The cat", "sat on the mat 猫."), ("How?", "Hello " * 9 + "you"))
    ]
    fast, slow = (renderer(CHATML, moulds=moulds, context=context) for moulds in (True, False))
    assert rows(fast, chats) == rows(slow, chats)


def asked(made: Renderer, chats: Sequence[Chat]) -> int:
    """For how many of `chats` the template is called, once their shape is known."""
    made.rows(chats[:1])
    calls: list[int] = []
    render = made._template.render
    made._template.render = lambda dialogues: (calls.append(len(dialogues)), render(dialogues))[1]  # type: ignore[method-assign]
    made.rows(chats)
    return sum(calls)


def test_a_template_is_called_only_where_it_might_write_something_else() -> None:
    contents = ["Hello", "you", "The </think> mat", "a <|im_end|>", " cat", "Hello\n", "x < y", "2 | 3"]
    chats = [Chat(messages=(Message("user", text), Message("assistant", "cat"))) for text in contents]
    assert asked(renderer(CHATML), chats) == 5
    assert asked(renderer(CHATML.replace("m.content", "(m.content | upper | lower)")), [chats[1]] * 3) == 3
    assert asked(renderer(TEMPLATES["qwen3_6"]), chats) == len(chats)


@pytest.mark.parametrize(
    ("expression", "sought"),
    [
        ("m.content", set()),
        ("m.content | trim", set()),
        ("m['content'].strip('\\n')", set()),
        ("('a' + m.content + 'b') | trim", None),
        ("'x' if 'b' in m.content else m.content", {"b"}),
        ("'x' if m.content == 'b' else m.content", {"b"}),
        ("'x' if m.content.startswith('b') else m.content", {"b"}),
        ("m.content.split('b')[-1]", {"b"}),
        ("m.content.replace('b', 'c')", {"b"}),
        ("m.content if m.content is string", set()),
        ("m.content | replace('b', 'c')", None),
        ("m.content | upper", None),
        ("m.content.upper()", None),
        ("m.content[:9]", None),
        ("m.content[0]", None),
        ("m.content if m.content | length > 3", None),
        ("m.content if m.content > 'b'", None),
        ("m.content if m.content == messages[0].content", None),
        ("'a' ~ m.content", None),
        ("m | tojson", None),
        ("[m.content] | join(' ')", None),
        ("m.content.split()[0]", None),
        ("m.content.lstrip('ab')", None),
        ("'%s' | format(m.content)", None),
        ("raise_exception(m.content)", None),
        ("unknown.thing", None),
    ],
)
def test_what_a_template_does_with_contents_is_seen(expression: str, sought: set[str] | None) -> None:
    source = f"{{% for m in messages %}}{{{{ {expression} }}}}{{% endfor %}}"
    found = written_and_sought(source, [Message("user", word(0, 0)), Message("assistant", word(1, 0))], {})
    assert (found and found[1]) == sought
    if found:
        assert found[0] == word(0, 0) + word(1, 0)


@pytest.mark.parametrize(
    "source",
    [
        "{% macro say(text) %}{{ text }}{% endmacro %}{% for m in messages %}{{ say(m.content) }}{% endfor %}",
        "{% for m in messages %}{% set text %}{{ m.content }}{% endset %}{{ text }}{% endfor %}",
        "{% for m in messages %}{% filter upper %}{{ m.content }}{% endfilter %}{% endfor %}",
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
    ],
)
def test_templates_that_make_plain_text_of_contents_are_not_trusted(source: str) -> None:
    assert written_and_sought(source, [Message("user", "a")], {}) is None


def test_rows_may_be_written_to_and_hold_no_other() -> None:
    made = renderer(CHATML)
    first, second = made.rows([Chat(messages=(Message("user", "a"), Message("assistant", "b")))] * 2)[0]
    first.tokens_T[:] = 7
    assert second.tokens_T[0] == made.tokenizer.convert_tokens_to_ids(BOS)
