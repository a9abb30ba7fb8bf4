"""A model on this machine as teacher: threads share batches, and neighbours change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from affinage.data.records import Message
from affinage.errors import InputError
from affinage.generation.chats import ChatSettings, RefusedError, Reply
from affinage.synthesis.local import LocalTeacher


class Renderer:
    """One token a character; 0 ends an answer."""

    stop_ids = (0,)

    def prompt(self, turns: Sequence[Message]) -> list[int]:
        return [ord(char) for turn in turns for char in turn.content]

    def answer(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids[:-1]))


class Writer:
    """Answers a prompt with its seed and its reverse; remembers the batches."""

    context = 20

    def __init__(self) -> None:
        self.batches: list[int] = []

    def generate(self, prompts: Sequence[Sequence[int]], samplings: Sequence[Any]) -> list[Any]:
        self.batches.append(len(prompts))
        answers = []
        for prompt, sampling in zip(prompts, samplings, strict=True):
            text = f"{sampling.seed}" + "".join(map(chr, reversed(prompt)))
            whole = len(text) <= sampling.max_tokens
            tokens = (*map(ord, text), 0) if whole else tuple(map(ord, text))[: sampling.max_tokens]
            finish = "stop" if whole else "length"
            said = text[: sampling.max_tokens]
            answers.append(SimpleNamespace(text=said, tokens=tokens, finish=finish, prompt_tokens=len(prompt)))
        return answers


def ask(teacher: LocalTeacher, text: str, seed: int = 0) -> Reply:
    (reply,) = teacher.generate([[Message("user", text)]], ChatSettings(max_tokens=10, seed=seed))
    return reply


def test_an_answer_with_its_tokens() -> None:
    assert ask(LocalTeacher(Writer(), Renderer(), "m"), "abc") == Reply("0cba", "stop", 3, 5, "m")
    assert ask(LocalTeacher(Writer(), Renderer(), "m"), "abcdefghijkl").finish == "length"


def test_threads_share_batches_and_each_gets_its_own() -> None:
    writer = Writer()
    teacher = LocalTeacher(writer, Renderer(), "m")
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda number: ask(teacher, f"q{number}", number), range(40)))
    assert [reply.text for reply in replies] == [f"{n}{str(n)[::-1]}q" for n in range(40)]
    assert sum(writer.batches) == 40
    assert max(writer.batches) > 1


def test_a_prompt_that_does_not_fit_is_refused_alone() -> None:
    teacher = LocalTeacher(Writer(), Renderer(), "m")
    with pytest.raises(RefusedError, match="a prompt of 30 tokens"):
        ask(teacher, "x" * 30)
    assert ask(teacher, "abc").text == "0cba"


def test_it_answers_as_itself_only() -> None:
    with pytest.raises(InputError, match="answers as itself"):
        LocalTeacher(Writer(), Renderer(), "m").generate([[Message("user", "a")]], ChatSettings(), ["other"])


def test_trouble_of_a_batch_reaches_all_who_wait() -> None:
    teacher = LocalTeacher(SimpleNamespace(context=20), Renderer(), "m")
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(ask, teacher, "abc") for _ in range(4)]
        assert all(isinstance(future.exception(10), AttributeError) for future in futures)
