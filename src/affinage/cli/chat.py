"""`affinage chat`: talk to a run or a model in the terminal, or feed it lines through a pipe."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affinage.cli.options import Device, Threads
from affinage.errors import InputError

if TYPE_CHECKING:
    from affinage.data.records import Message
    from affinage.generation.engine import Completion

_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # control codes: a model must not steer the terminal
_RESULT = "/tool "


def chat(
    run: Annotated[str, typer.Argument(help="A run folder, a model folder, a hub model, or `tiny`.")],
    prompt: Annotated[str | None, typer.Option(help="Answer this and leave.")] = None,
    system: Annotated[str | None, typer.Option(help="A system turn. Unset: the run's own.")] = None,
    tools: Annotated[
        Path | None, typer.Option(help="A JSON file of the functions that answers may call. `/tool TEXT` is a result.")
    ] = None,
    raw: Annotated[
        bool | None,
        typer.Option(help="Continue the text as it is, without a chat template. Unset: yes for `pretrain` runs."),
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 always takes the most likely token.")] = 0.7,
    top_p: Annotated[float, typer.Option(help="Draw among the most likely tokens that hold this share.")] = 0.95,
    top_k: Annotated[int, typer.Option(help="Draw among so many most likely tokens; 0 is all.")] = 0,
    stop: Annotated[list[str] | None, typer.Option(help="A text that ends the answer; may be given again.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same conversation and seed give the same answers.")] = None,
    device: Device = None,
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object; answers go to stderr.")] = False,
) -> None:
    """Talk to a run. `/reset` starts anew, `/tool TEXT` gives a call's result, `/quit` leaves, Ctrl-C stops."""
    narrowing: dict[str, Any] = {"temperature": temperature, "top_p": top_p, "top_k": top_k}
    settings = {"max_tokens": max_tokens, "stop": stop or [], "seed": seed, **narrowing}
    conversation = open_conversation(run, settings, system=system, tools=tools, raw=raw, device=device, threads=threads)
    screen = Screen(sys.stderr if as_json else sys.stdout)
    turns = _talk(conversation, screen, prompt)
    if as_json:
        print(json.dumps({"schema": 1, "model": run, "turns": turns}, ensure_ascii=False))


@dataclass
class Conversation:
    """Turns so far, and how they become the model's next prompt.

    Attributes:
        stream: from all turns, the question to answer last, to the pieces of the answer.
        remembers: whether earlier turns belong to the prompt.
    """

    stream: Callable[[list[Message]], Generator[str, None, Completion]]
    remembers: bool
    messages: list[Message] = field(default_factory=list)

    def ask(self, question: str) -> Generator[str, None, Completion]:
        """Yield the answer's pieces, return its completion. What was said is remembered, also of a stopped answer.

        A question after `/tool ` is the result of a call that the last answer has made.

        Raises:
            InputError: the conversation has outgrown the context; it then stays as it was.
        """
        from affinage.data.records import Message

        result = self.remembers and bool(self.messages) and question.startswith(_RESULT)
        asked = Message("tool", question.removeprefix(_RESULT)) if result else Message("user", question)
        pieces: list[str] = []
        try:
            stream = self.stream([*self.messages, asked])
            with closing(stream):
                while True:
                    piece = next(stream)
                    pieces.append(piece)
                    yield piece
        except StopIteration as end:
            completion: Completion = end.value
            self._remember(asked, completion.text)
            return completion
        except (GeneratorExit, KeyboardInterrupt):
            self._remember(asked, "".join(pieces))
            raise

    def reset(self) -> None:
        """Forget all turns."""
        self.messages.clear()

    def _remember(self, asked: Message, answer: str) -> None:
        if self.remembers and answer.strip():  # a question without an answer would leave two questions in a row
            self.messages += [asked, type(asked)("assistant", answer.strip())]


class Screen:
    """Where answers and notes go: a terminal gets colours and a prompt, a pipe the bare text."""

    def __init__(self, out: Any) -> None:
        from rich.console import Console

        self._out = out
        self._console = Console(file=out, highlight=False)
        self._notes = Console(stderr=True, highlight=False)
        self.interactive = sys.stdin.isatty() and out.isatty()

    def piece(self, text: str) -> None:
        self._out.write(_UNSEEN.sub("", text) if self._out.isatty() else text)
        self._out.flush()

    def end(self) -> None:
        self.piece("\n")

    def note(self, text: str) -> None:
        self._notes.print(text, style="dim", markup=False)

    def questions(self) -> Iterator[str]:
        """What the person types, or the lines of a pipe, until there are no more."""
        if not self.interactive:
            yield from (line.rstrip("\n") for line in sys.stdin)
            return
        self.note("/reset starts anew, /quit leaves, Ctrl-C stops an answer")
        while True:
            try:
                yield self._console.input("[bold cyan]you>[/] ")
            except (EOFError, KeyboardInterrupt):
                self.end()
                return


def open_conversation(
    name: str,
    settings: dict[str, Any],
    *,
    system: str | None,
    raw: bool | None,
    device: str | None,
    threads: int | None,
    tools: Path | None = None,
) -> Conversation:
    """Load a run or a model and make it ready to talk; `settings` are those of `Adapted.stream`.

    Raises:
        InputError: it does not exist, cannot write text, or is a classifier; or `tools` holds no functions.
    """
    from affinage.data.records import Prompt
    from affinage.use import load

    functions = _functions(tools) if tools else ()
    adapted = load(name, device=device, threads=threads, system_prompt=system)
    if adapted.objective in ("classify", "reward"):
        what = "a classifier" if adapted.objective == "classify" else "a reward model"
        raise InputError(f"{name} is {what} and cannot write", fix=f"affinage predict {name} DATA --out F")
    raw = not adapted.talks if raw is None else raw
    if raw and system is not None:
        raise InputError("--system needs a chat template", fix="leave out --raw, or put the text into the prompt")

    if raw and functions:
        raise InputError("--tools needs a chat template", fix="leave out --raw, or put the functions into the prompt")

    def stream(messages: list[Message]) -> Generator[str, None, Completion]:
        asked = messages[-1].content if raw else Prompt(messages=tuple(messages), tools=functions)
        return adapted.stream(asked, raw=raw, **settings)

    return Conversation(stream, remembers=not raw)


def _functions(path: Path) -> tuple[str, ...]:
    """The functions in a JSON file, each as JSON text.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    from affinage.data.layouts.bad_row import BadRowError
    from affinage.data.layouts.tools import schemas_of

    try:
        found = schemas_of(path.read_text(encoding="utf-8"), "tools")
    except (OSError, UnicodeError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    except BadRowError as error:
        raise InputError(f"{path}: {error.detail}") from None
    if not found:
        raise InputError(f"{path} holds no functions", fix='write a list such as [{"type": "function", ...}]')
    return found


def _talk(conversation: Conversation, screen: Screen, prompt: str | None) -> list[dict[str, Any]]:
    """Answer `prompt`, or every question until the person leaves; what was said, for `--json`."""
    turns = []
    for question in screen.questions() if prompt is None else [prompt]:
        if question.strip() == "/quit":
            break
        if question.strip() == "/reset":
            conversation.reset()
            screen.note("a new conversation")
            continue
        if prompt is None and not question.strip():
            continue
        try:
            turns.append(_answer(conversation, screen, question))
        except InputError as error:
            if not screen.interactive or prompt is not None:
                raise
            screen.note(f"{error.message}\n/reset starts a new conversation")
            continue
        if turns[-1]["finish"] == "interrupted" and not screen.interactive:
            break
    return turns


def _answer(conversation: Conversation, screen: Screen, question: str) -> dict[str, Any]:
    """Show one answer as it comes; Ctrl-C ends it early."""
    stream = conversation.ask(question)
    said = ""
    try:
        with closing(stream):
            while True:
                piece = next(stream)
                said += piece
                screen.piece(piece)
    except KeyboardInterrupt:
        screen.end()
        return {"prompt": question, "text": said, "finish": "interrupted"}
    except StopIteration as end:
        done: Completion = end.value
        screen.end()
        sizes = {"prompt_tokens": done.prompt_tokens, "tokens": len(done.tokens)}
        return {"prompt": question, "text": done.text, "finish": done.finish, **sizes}
