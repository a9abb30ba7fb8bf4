"""Rows of ranked and rated completions, of prompts, and what identifies a renderer."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pytest

from affinage.data.records import Chat, Message, Preference, Prompt, Rated, Source, Text
from affinage.data.rendering.renderer import Renderer
from affinage.errors import InputError
from tests.data.small_tokenizer import EOS, small_tokenizer
from tests.data.test_rendering import CHATML, learned, renderer

ASK = (Message("user", "Hello, how?"), Message("assistant", "You sat."), Message("user", "The mat?", learn=True))
COMPLETIONS = tuple(Message("assistant", text) for text in ("The cat sat.", "On the mat", "cat"))
RANKED = Preference(messages=ASK, completions=COMPLETIONS, ranks=(1, 2, 2), source=Source("p.jsonl", "7"))


def test_a_preference_is_consecutive_rows_that_learn_the_completions() -> None:
    made = renderer(small_tokenizer(CHATML), system_prompt="You sat.")
    rows, drops = made.rows([Text(text="cat"), RANKED, Text(text="mat")])
    assert not drops
    assert [row.record_id for row in rows[1:4]] == [RANKED.id] * 3
    prompt = made.prompt(ASK)
    for row, completion in zip(rows[1:4], COMPLETIONS, strict=True):
        whole = made.chat(Chat(messages=(*ASK, completion)))
        assert row.tokens_T.tolist() == whole.tokens_T.tolist()
        assert row.tokens_T.tolist()[: len(prompt)] == prompt
        shown = made.explain(row)
        parts = ["".join(text for text, _ in some) for told, some in groupby(shown, lambda item: item[1]) if told]
        assert parts == [completion.content + "<|im_end|>"]
        assert row.learned_bytes == len(completion.content)


def test_a_rated_completion_is_one_row() -> None:
    made = renderer()
    rated = Rated(messages=ASK[:1], completion=COMPLETIONS[0], score=True)
    (row,), drops = made.rows([rated])
    assert (row.record_id, drops) == (rated.id, [])
    assert row.tokens_T.tolist() == made.chat(Chat(messages=(ASK[0], COMPLETIONS[0]))).tokens_T.tolist()
    assert "".join(text for text, told in made.explain(row) if told) == "The cat sat." + EOS


def test_what_does_not_fit_leaves_no_half_preference() -> None:
    long = Preference(messages=ASK, completions=(COMPLETIONS[2], Message("assistant", "cat " * 60)), ranks=(1, 2))
    longest = len(renderer().chat(Chat(messages=(*ASK, long.completions[1]))))
    with pytest.raises(InputError, match=rf"1 of 1 rows .*\({longest} tokens\)"):
        renderer(context=90).rows([long])
    rows, drops = renderer(context=90, too_long="drop").rows([long, RANKED])
    assert [row.record_id for row in rows] == [RANKED.id] * 3
    assert [(drop.reason, drop.record_id) for drop in drops] == [("too-long", long.id)]
    rows, drops = renderer(context=90, too_long="truncate").rows([long])
    assert [row.truncated for row in rows] == [0, longest - 90]
    start = len(renderer().prompt(ASK))
    rows, drops = renderer(context=start, too_long="truncate").rows([long])
    assert (rows, [(drop.reason, drop.detail) for drop in drops]) == (
        [],
        [("no-learned-token", f"cut at {start} tokens")],
    )


def test_empty_completions_and_prompts_are_dropped_and_counted() -> None:
    empty = Preference(messages=ASK, completions=(COMPLETIONS[0], Message("assistant", " ")), ranks=(1, 2))
    prompt = Prompt(messages=ASK, source=Source("q.jsonl", "2"))
    rows, drops = renderer().rows([empty, prompt])
    assert rows == []
    assert [(drop.reason, drop.record_id) for drop in drops] == [
        ("no-learned-token", empty.id),
        ("no-learned-token", prompt.id),
    ]


def test_a_refused_preference_is_named() -> None:
    refusing = CHATML + "{% if messages | length > 3 %}{{ raise_exception('too many') }}{% endif %}"
    with pytest.raises(InputError, match=r"p\.jsonl:7: .*too many"):
        renderer(small_tokenizer(refusing)).rows([RANKED])


def test_roles_by_name_are_learned_from() -> None:
    chat = Chat(messages=(Message("system", "You sat."), ASK[0], COMPLETIONS[0]))
    sizes = {
        how: renderer(small_tokenizer(CHATML), learn_from=how).chat(chat).learned_bytes
        for how in ("system", "user", "assistant", "tool", "system,user", "user,assistant")
    }
    assert sizes == {"system": 8, "user": 11, "assistant": 12, "tool": 0, "system,user": 19, "user,assistant": 23}
    assert learned(renderer(learn_from="assistant"), chat) == learned(renderer(), chat)


def settings(**options: Any) -> Renderer:
    return renderer(options.pop("tokenizer", None) or small_tokenizer(CHATML), **options)


def test_each_setting_that_changes_rows_has_its_part() -> None:
    base = settings()
    assert settings().settings_parts == base.settings_parts
    assert settings().settings_digest == base.settings_digest
    changes: dict[str, Renderer] = {
        "template": settings(template=CHATML + " "),
        "tokenizer": settings(tokenizer=small_tokenizer(CHATML, kind="prepend")),
        "system_prompt": settings(system_prompt="You sat."),
        "learn_from": settings(learn_from="user"),
        "context": settings(context=64),
        "too_long": settings(too_long="drop"),
        "around": settings(tokenizer=small_tokenizer(CHATML, adds_bos=True)),
        "special": settings(tokenizer=small_tokenizer(CHATML, eos=False)),
    }
    for name, made in changes.items():
        other = made.settings_parts
        assert other[name] != base.settings_parts[name]
        assert made.settings_digest != base.settings_digest
        if name not in ("tokenizer", "around", "special"):
            assert {part for part in other if other[part] != base.settings_parts[part]} == {name}
    assert set(changes) | {"version"} == set(base.settings_parts)


def test_truncation_left_in_a_tokenizer_by_others_changes_nothing() -> None:
    tokenizer = small_tokenizer(CHATML)
    before = settings(tokenizer=tokenizer).settings_digest
    tokenizer("The cat sat on the mat", truncation=True, max_length=2, padding="max_length")
    assert settings(tokenizer=tokenizer).settings_digest == before
