"""The renderer: texts in blocks, chats with weights, labelled texts, and what becomes of rows that do not fit."""

from __future__ import annotations

import threading
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affinage.data.records import Chat, Labelled, Message, Pair, Source, Text
from affinage.data.rendering.renderer import Renderer
from affinage.data.rendering.templates import PLAIN_TEMPLATE
from affinage.errors import InputError
from tests.data.small_tokenizer import BOS, EOS, small_encoder, small_tokenizer

USER, ANSWER = Message("user", "Hello, how?"), Message("assistant", "The cat sat 猫.")
CHAT = Chat(messages=(USER, ANSWER), source=Source("chats.jsonl", "3"))
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
BRACKETS = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"
)


def renderer(tokenizer: Any = None, **options: Any) -> Renderer:
    defaults = {"system_prompt": None, "learn_from": "completions", "context": 512, "too_long": "error"}
    return Renderer(tokenizer if tokenizer is not None else small_tokenizer(), **(defaults | options))


def learned(made: Renderer, chat: Chat) -> str:
    return "".join(text if weight else "·" for text, weight in made.explain(made.chat(chat)))


TEXTS = st.text(st.sampled_from("ab cat.\n猫é😀<>|") | st.characters(codec="utf-8"), min_size=1, max_size=120)


@given(text=TEXTS, context=st.integers(2, 40), bos=st.booleans(), kind=st.sampled_from(["bytes", "prepend", "first"]))
@settings(max_examples=80, deadline=None)
def test_text_is_split_and_never_cut(text: str, context: int, bos: bool, kind: Any) -> None:
    made = renderer(small_tokenizer(kind=kind, bos=bos), context=context)
    rows = made.text(Text(text=text))
    ids = made.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
    whole = [*([made.tokenizer.bos_token_id] if bos else []), *ids, made.tokenizer.eos_token_id]
    joined = rows[0].tokens_T.tolist() + [token for row in rows[1:] for token in row.tokens_T[1:].tolist()]
    assert joined == whole
    assert all(left.tokens_T[-1] == right.tokens_T[0] for left, right in pairwise(rows))
    assert all(row.weights_T[0] == 0 and row.weights_T[1:].all() for row in rows)
    sizes = [len(row) for row in rows]
    assert max(sizes) <= context
    assert max(sizes) - min(sizes) <= 1
    first = made.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True)
    skipped = 0 if bos else len(text[: first.offset_mapping[0][1]].encode())
    assert sum(row.learned_bytes for row in rows) == len(text.encode()) - skipped


def test_texts_control_words_stay_text_and_the_tokenizer_is_not_touched() -> None:
    made = renderer()
    eos, text = made.tokenizer.eos_token_id, f"a{EOS}b{BOS}"
    faults: list[str] = []

    def render() -> None:
        for _ in range(50):
            ids = made.text(Text(text=text))[0].tokens_T.tolist()
            if ids.count(eos) != 1 or made.tokenizer(EOS).input_ids != [eos]:
                faults.append(str(ids))

    threads = [threading.Thread(target=render) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert made.tokenizer.decode(made.text(Text(text=text))[0].tokens_T) == BOS + text + EOS


def test_empty_text_is_dropped() -> None:
    rows, drops = renderer().rows([Text(text="", source=Source("a.txt")), Text(text="cat")])
    assert len(rows) == 1
    assert [(drop.reason, str(drop.source)) for drop in drops] == [("no-learned-token", "a.txt")]


def test_plain_template_is_given_saved_and_learned_from(tmp_path: Path) -> None:
    made = renderer()
    assert learned(made, CHAT) == "·" * len(made.prompt([USER])) + "The cat sat 猫." + EOS + "·" * (
        len(made.chat(CHAT)) - made.chat(CHAT).learned - len(made.prompt([USER]))
    )
    assert made.chat(CHAT).learned_bytes == len(ANSWER.content.encode())
    made.tokenizer.save_pretrained(tmp_path)
    assert type(made.tokenizer).from_pretrained(tmp_path).chat_template == PLAIN_TEMPLATE


@pytest.mark.parametrize("template", [CHATML, "{{ bos_token }}" + CHATML])
def test_exactly_one_bos(template: str) -> None:
    made = renderer(small_tokenizer(template, adds_bos=True))
    ids = made.chat(CHAT).tokens_T.tolist()
    assert ids[0] == made.tokenizer.bos_token_id
    assert ids.count(made.tokenizer.bos_token_id) == 1
    assert made.prompt([USER]) == ids[: len(made.prompt([USER]))]
    assert made.tokenizer.bos_token_id not in renderer(small_tokenizer(CHATML)).chat(CHAT).tokens_T


@pytest.mark.parametrize("kind", ["bytes", "first", "always", "prepend"])
@pytest.mark.parametrize("template", [CHATML, BRACKETS, PLAIN_TEMPLATE, "{{ bos_token }}" + BRACKETS])
def test_ids_are_the_tokenizers_own(kind: Any, template: str) -> None:
    made = renderer(small_tokenizer(template, kind=kind))
    chat = [{"role": "user", "content": USER.content}]
    text = made.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert made.prompt([USER]) == made.tokenizer(text, add_special_tokens=False).input_ids
    row = made.chat(CHAT)
    assert made.answer(row.tokens_T[row.weights_T > 0].tolist()) == ANSWER.content


def test_no_token_spans_the_border_between_prompt_and_answer() -> None:
    made = renderer(template=PLAIN_TEMPLATE.replace("Assistant:\\n", "Assistant:\\nHel"))
    chat = Chat(messages=(USER, Message("assistant", "lo cat"), USER, Message("assistant", "lo")))
    row = made.chat(chat)
    whole = made.tokenizer(made.tokenizer.decode(row.tokens_T)).input_ids
    assert len(whole) < len(row)  # encoded as one, the header's end and the content merge
    for number in (1, 3):
        prompt = made.prompt(chat.messages[:number])
        assert row.tokens_T.tolist()[: len(prompt)] == prompt
        assert (row.weights_T[len(prompt) - 1], row.weights_T[len(prompt)]) == (0, 1)


def test_control_tokens_that_take_the_space_after_them() -> None:
    made = renderer(small_tokenizer(CHATML, rstrip=True))
    chat = [{"role": "user", "content": " cat\n"}]
    text = made.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert made.prompt([Message("user", " cat\n")]) == made.tokenizer(text, add_special_tokens=False).input_ids


def test_turn_tokens_that_are_not_marked_special_cannot_be_written_either() -> None:
    made = renderer(small_tokenizer(CHATML, special=False))
    end = made.tokenizer.convert_tokens_to_ids("<|im_end|>")
    ids = made.chat(Chat(messages=(Message("user", "a<|im_end|>b"), ANSWER))).tokens_T.tolist()
    assert ids.count(end) == 2
    assert made.stop_ids == (end, made.tokenizer.eos_token_id)


def test_learn_from_and_a_messages_own_say() -> None:
    messages = (Message("system", "Sat."), USER, ANSWER, Message("user", "Are you?"), Message("assistant", "The mat"))
    chat = Chat(messages=messages)
    tokenizer = small_tokenizer(CHATML)
    rows = {how: renderer(tokenizer, learn_from=how).chat(chat) for how in ("completions", "last", "all")}
    sizes = {how: row.learned_bytes for how, row in rows.items()}
    assert sizes == {"completions": 16 + 7, "last": 7, "all": 4 + 11 + 16 + 8 + 7}
    assert len({row.tokens_T.tobytes() for row in rows.values()}) == 1
    own = (messages[1], Message("assistant", "The cat", learn=False), Message("user", "Are", learn=True), messages[4])
    assert learned(renderer(tokenizer), Chat(messages=own)).strip("·").split("·", 1)[0] == "Are<|im_end|>"
    assert "The cat" not in learned(renderer(tokenizer), Chat(messages=own))


def test_a_learned_turn_inside_plain_headings() -> None:
    made = renderer(learn_from="all")
    assert learned(made, CHAT).replace("·", "") == USER.content + ANSWER.content + EOS
    assert made.chat(CHAT).tokens_T.tolist() == renderer().chat(CHAT).tokens_T.tolist()


def test_system_prompt_goes_where_none_is() -> None:
    made = renderer(system_prompt="You sat.")
    assert made.tokenizer.decode(made.prompt([USER])).startswith("You sat.\n\n### User:")
    assert "You sat." not in made.tokenizer.decode(made.prompt([Message("system", "Hello"), USER]))
    assert made.template_hash != renderer().template_hash


def test_the_end_is_written_where_the_template_leaves_it_open() -> None:
    template = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}"
    made = renderer(small_tokenizer(template))
    assert learned(made, CHAT).endswith(ANSWER.content + EOS)
    with pytest.raises(InputError, match="token that ends an answer"):
        renderer(small_tokenizer(template, eos=False)).chat(CHAT)


def test_empty_answers_are_not_learned_from() -> None:
    rows, drops = renderer().rows([Chat(messages=(USER, Message("assistant", " "))), CHAT])
    assert len(rows) == 1
    assert [drop.reason for drop in drops] == ["no-learned-token"]


def test_a_date_that_changes_between_two_renderings() -> None:
    tokenizer = small_tokenizer("{{ day }}" + CHATML)
    made = renderer(tokenizer)
    own = tokenizer.apply_chat_template
    for day in ("Monday", "Tuesday"):
        tokenizer.apply_chat_template = partial(own, day=day)
        assert tokenizer.decode(made.chat(CHAT).tokens_T).startswith(day + "<|im_start|>user")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (CHATML.replace("m.content", "(m.content | replace('cat', 'dog'))"), "changes a turn's text"),
        ("{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}", "leaves out turn 2"),
        (CHATML + "{{ messages[0].content }}", "twice"),
        ("{{ raise_exception('no chats here') }}", "no chats here"),
    ],
)
def test_templates_that_lose_the_text_are_refused(template: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"chats.jsonl:3: .*{message}"):
        renderer(small_tokenizer(template)).rows([CHAT])


def test_roles_and_texts_that_cannot_be() -> None:
    made = renderer(small_tokenizer(CHATML))
    with pytest.raises(InputError, match=r"unknown role 'user<\|im_end\|>'"):
        made.prompt([Message("user<|im_end|>", "a")])
    with pytest.raises(InputError, match="surrogate"):
        made.text(Text(text="a\ud800"))
    with pytest.raises(InputError, match="surrogate"):
        made.rows([Chat(messages=(Message("user", "a\ud800"), ANSWER))])
    with pytest.raises(TypeError, match="Pair"):
        made.rows([Pair(query="a", passage="b")])
    with pytest.raises(InputError, match="fast tokenizer"):
        renderer(type("Slow", (), {"chat_template": CHATML, "eos_token": EOS})())


def test_too_long_is_an_error_that_names_the_ways_out() -> None:
    long = [
        Chat(messages=(USER, Message("assistant", "cat " * n)), source=Source("c.jsonl", str(n))) for n in range(40, 48)
    ]
    with pytest.raises(InputError) as caught:
        renderer(context=50).rows([CHAT, *long])
    assert "8 of 9 rows" in caught.value.message
    assert "c.jsonl:40 (" in caught.value.message
    assert "and 3 more" in caught.value.message
    for way in ("--set context=", "--set too_long=truncate", "--set too_long=drop"):
        assert way in caught.value.fix


def test_too_long_by_consent() -> None:
    whole = renderer().chat(CHAT)
    start = len(renderer().prompt([USER]))
    context = start + 3
    (row,), drops = renderer(context=context, too_long="truncate").rows([CHAT])
    assert not drops
    assert (len(row), row.truncated) == (context, len(whole) - context)
    text = renderer().tokenizer.decode(row.tokens_T[start:])
    assert row.learned_bytes == len(text.encode())
    assert ANSWER.content.startswith(text)
    rows, drops = renderer(context=start, too_long="truncate").rows([CHAT])
    assert (rows, [drop.reason for drop in drops]) == ([], ["no-learned-token"])
    rows, drops = renderer(context=context, too_long="drop").rows([CHAT])
    assert (rows, [drop.reason for drop in drops]) == ([], ["too-long"])
    assert drops[0].record_id == CHAT.id


def test_labelled_texts_of_encoders_and_decoders() -> None:
    record = Labelled(text="The cat sat on [SEP] the mat", label="a")
    made = renderer(small_encoder())
    row = made.labelled(record, 1.0)
    cls, sep = made.tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]"])
    assert (row.tokens_T[0], row.tokens_T[-1], row.tokens_T.tolist().count(sep)) == (cls, sep, 1)
    assert (row.target, row.learned) == (1.0, 0)
    (short,), _ = renderer(small_encoder(), context=5, too_long="truncate").rows([record], {"a": 1})
    assert (len(short), short.tokens_T[-1], short.truncated) == (5, sep, len(row) - 5)
    decoder = renderer()
    ids = decoder.labelled(record, 0.0).tokens_T.tolist()
    assert decoder.tokenizer.decode(ids) == BOS + record.text
    assert ids[0] == decoder.tokenizer.bos_token_id
    with pytest.raises(InputError, match="'a' is not one"):
        decoder.rows([record], {"b": 0})


def test_rows_keep_the_order_and_equal_single_renderings() -> None:
    made = renderer(context=40)
    records = [CHAT, Text(text="The cat sat. " * 30), Labelled(text="mat", label="a"), CHAT]
    rows, _ = made.rows(records, {"a": 2})
    singles = [made.chat(CHAT), *made.text(records[1]), made.labelled(records[2], 2), made.chat(CHAT)]
    assert [row.record_id for row in rows] == [row.record_id for row in singles]
    for row, single in zip(rows, singles, strict=True):
        assert row.tokens_T.tolist() == single.tokens_T.tolist()
        assert row.weights_T.tolist() == single.weights_T.tolist()
        assert (row.learned_bytes, row.target) == (single.learned_bytes, single.target)


def test_pad_is_never_an_end() -> None:
    tokenizer = small_tokenizer()
    assert renderer(tokenizer).pad_id == tokenizer.pad_token_id
    tokenizer.pad_token = tokenizer.eos_token
    assert renderer(tokenizer).pad_id not in renderer(tokenizer).stop_ids


def test_explain_gives_a_piece_per_token() -> None:
    made = renderer(small_tokenizer(CHATML))
    row = made.chat(CHAT)
    shown = made.explain(row)
    assert len(shown) == len(row)
    assert "".join(text for text, _ in shown) == made.tokenizer.decode(row.tokens_T)
    assert [flag for _, flag in shown] == (row.weights_T > 0).tolist()


def test_template_hash_tells_templates_apart() -> None:
    made = [renderer(small_tokenizer(template)) for template in (CHATML, CHATML, CHATML + " ")]
    assert made[0].template_hash == made[1].template_hash != made[2].template_hash


@pytest.mark.real
@pytest.mark.parametrize("name", ["stories260K", "gpt2-tokenizer"])
@pytest.mark.parametrize("template", [None, BRACKETS, CHATML])
def test_real_tokenizers(shared: Path, name: str, template: str | None) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(shared / "models" / name)
    made = renderer(tokenizer, template=template)
    row, prompt = made.chat(CHAT), made.prompt([USER])
    chat = [{"role": "user", "content": USER.content}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    own = tokenizer(text).input_ids  # stories260K puts a BOS before what it encodes, as these templates write none
    assert prompt == own == row.tokens_T.tolist()[: len(prompt)]
    assert made.answer(row.tokens_T[row.weights_T > 0].tolist()) == ANSWER.content
    assert made.pad_id != tokenizer.eos_token_id
    story = "Once upon a time, a 猫 sat </s><|endoftext|> on the mat 😀. " * 20
    blocks = renderer(tokenizer, context=64).text(Text(text=story))
    assert sum(block.learned_bytes for block in blocks) == len(story.encode())
    assert sum(block.tokens_T.tolist()[1:].count(tokenizer.eos_token_id) for block in blocks) == 1
