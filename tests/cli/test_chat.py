"""`affinage chat` through a pipe, with a small random model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed
from typer.testing import CliRunner

from affinage.cli import chat as module
from affinage.cli.chat import Conversation, chat
from affinage.data.records import Message
from affinage.errors import InputError
from affinage.generation.engine import Completion

TEMPLATE = (
    "{% for m in messages %}{{ '<' + m['role'] + '>' + m['content'] + '</s>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a chat template."""
    where = tmp_path_factory.mktemp("model")
    vocabulary = {character: number for number, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", chat_template=TEMPLATE)
    tokenizer.save_pretrained(where)
    set_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(**sizes, vocab_size=257, max_position_embeddings=256, initializer_range=0.3)
    LlamaForCausalLM(config).save_pretrained(where)
    return where


def call(*arguments: str, lines: str = "") -> Any:
    app = typer.Typer()
    app.command()(chat)
    return CliRunner().invoke(app, [*arguments, "--max-tokens", "12", "--threads", "1"], input=lines)


def last(result: Any) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout.splitlines()[-1]))


def test_one_question(folder: Path) -> None:
    result = call(str(folder), "--prompt", "hello", "--json", "--seed", "1")
    (turn,) = last(result)["turns"]
    assert turn["prompt"] == "hello"
    assert turn["prompt_tokens"] == len("<user>hello") + 1 + len("<assistant>")
    assert 1 <= turn["tokens"] <= 12
    assert turn["text"] in result.stderr
    assert len(result.stdout.splitlines()) == 1
    assert last(call(str(folder), "--prompt", "hello", "--json", "--seed", "1"))["turns"] == [turn]


def test_lines_of_a_pipe_are_one_conversation(folder: Path) -> None:
    result = call(str(folder), "--json", "--seed", "2", lines="one\n\ntwo\n/reset\none\n/quit\nnever\n")
    turns = last(result)["turns"]
    assert [turn["prompt"] for turn in turns] == ["one", "two", "one"]
    assert turns[1]["prompt_tokens"] > turns[0]["prompt_tokens"]
    assert turns[2] == turns[0]


def test_a_pipe_gets_the_bare_answers(folder: Path) -> None:
    asked = last(call(str(folder), "--json", "--seed", "2", lines="one\n"))
    result = call(str(folder), "--seed", "2", lines="one\n")
    assert result.stdout == asked["turns"][0]["text"] + "\n"


def test_a_system_turn_goes_in_front(folder: Path) -> None:
    plain, led = (
        last(call(str(folder), "--prompt", "hi", "--json", *more))["turns"][0]
        for more in ([], ["--system", "be brief"])
    )
    assert led["prompt_tokens"] == plain["prompt_tokens"] + len("<system>be brief") + 1


def test_raw_text_is_continued_without_template_or_memory(folder: Path) -> None:
    turns = last(call(str(folder), "--raw", "--json", lines="abc\nabcd\n"))["turns"]
    assert [turn["prompt_tokens"] for turn in turns] == [3, 4]
    result = call(str(folder), "--raw", "--system", "x", "--prompt", "y")
    assert isinstance(result.exception, InputError)


def test_a_question_too_long_is_an_error(folder: Path) -> None:
    result = call(str(folder), "--prompt", "x" * 300)
    assert isinstance(result.exception, InputError)
    assert "context of 256" in str(result.exception)


def talk(*pieces: str | BaseException) -> Conversation:
    """A conversation whose every answer is these pieces; an exception among them is raised in its place."""

    def stream(messages: list[Message]) -> Any:
        for piece in pieces:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
        return Completion("".join(map(str, pieces)), (1, 2), "stop", (0.0, 0.0), len(messages))

    return Conversation(stream, remembers=True)


def test_an_interrupted_answer_is_kept_as_far_as_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    conversation = talk(" half an", KeyboardInterrupt())
    turn = module._answer(conversation, module.Screen(module.sys.stdout), "why?")
    assert (turn["text"], turn["finish"]) == (" half an", "interrupted")
    assert capsys.readouterr().out == " half an\n"
    assert conversation.messages == [Message("user", "why?"), Message("assistant", "half an")]


def test_an_error_or_an_empty_answer_leaves_the_conversation_as_it_was() -> None:
    conversation = talk(InputError("too long"))
    with pytest.raises(InputError):
        list(conversation.ask("why?"))
    assert conversation.messages == []
    conversation = talk("")
    list(conversation.ask("why?"))
    assert conversation.messages == []


def test_a_terminal_gets_no_control_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module.sys.stdout, "isatty", lambda: True)
    module.Screen(module.sys.stdout).piece("a\x1b[2Jb\tc\n")
    assert capsys.readouterr().out == "a[2Jb\tc\n"


def test_typed_questions_end_with_end_of_file(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = module.Screen(module.sys.stdout)
    screen.interactive = True
    typed = iter(["one", "two"])

    def read(prompt: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(screen._console, "input", read)
    assert list(screen.questions()) == ["one", "two"]
