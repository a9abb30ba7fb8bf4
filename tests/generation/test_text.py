"""Tokens become text: whole characters only, and nothing of a stop text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from affinage.generation.text import TextStream

SENTENCE = "naïve façade – « 日本語 » 👩‍🔬 done, and a good deal of plain text after it; ça va?"


def pieces(stream: TextStream, tokens: list[int]) -> list[str]:
    shown, found = 0, []
    for token in tokens:
        stream.add(token)
        found.append(stream.text[shown:])
        shown = len(stream.text)
        if stream.stopped:
            break
    stream.finish()
    return [piece for piece in [*found, stream.text[shown:]] if piece]


def test_a_character_of_several_tokens_comes_whole(byte_tokenizer: Any) -> None:
    tokens = list(SENTENCE.encode())
    assert pieces(TextStream(byte_tokenizer, list(b"Q: ")), tokens) == list(SENTENCE)


def test_a_character_cut_off_by_the_end_is_left_out(byte_tokenizer: Any) -> None:
    stream = TextStream(byte_tokenizer, [])
    assert "".join(pieces(stream, list("né".encode())[:-1])) == "n"


def test_bytes_that_are_no_character_are_marked_and_do_not_stop_the_text(byte_tokenizer: Any) -> None:
    assert "".join(pieces(TextStream(byte_tokenizer, []), [97, 0xFF, 98])) == "a\ufffdb"


@pytest.mark.parametrize("prompt", ["日本語日本語日本語", "a", ""])
def test_the_text_does_not_depend_on_where_the_prompt_is_cut(byte_tokenizer: Any, prompt: str) -> None:
    assert "".join(pieces(TextStream(byte_tokenizer, list(prompt.encode())), list(SENTENCE.encode()))) == SENTENCE


def test_a_stop_text_is_found_across_token_borders_and_never_shown(byte_tokenizer: Any) -> None:
    stream = TextStream(byte_tokenizer, [], ["\nUser:"])
    shown = pieces(stream, list(b"yes\nUs\nUser: more"))
    assert stream.stopped
    assert "".join(shown) == stream.text == "yes\nUs"


def test_the_earliest_stop_text_wins(byte_tokenizer: Any) -> None:
    stream = TextStream(byte_tokenizer, [], ["cd", "bcde"])
    pieces(stream, list(b"abcdef"))
    assert stream.text == "ab"


def test_what_only_began_like_a_stop_text_is_text(byte_tokenizer: Any) -> None:
    stream = TextStream(byte_tokenizer, [], ["END!"])
    shown = pieces(stream, list(b"the EN and EN"))
    assert not stream.stopped
    assert "".join(shown) == "the EN and EN"
    assert shown[-1] == "EN"


def test_special_tokens_are_no_text(byte_tokenizer: Any) -> None:
    end = byte_tokenizer.eos_token_id
    assert "".join(pieces(TextStream(byte_tokenizer, []), [97, end, 98])) == "ab"


@pytest.mark.real
def test_pieces_with_leading_spaces_and_byte_fallback(shared: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(shared / "models" / "stories260K")
    whole = tokenizer("Once upon a time " + SENTENCE, add_special_tokens=False).input_ids
    for cut in range(1, len(whole) - 1):
        before = tokenizer.decode(whole[:cut])
        if before.endswith("\ufffd"):
            continue  # a prompt never ends inside a character
        text = "".join(pieces(TextStream(tokenizer, [1, *whole[:cut]]), whole[cut:]))
        assert before + text == "Once upon a time " + SENTENCE
