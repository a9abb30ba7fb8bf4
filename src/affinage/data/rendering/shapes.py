"""Shapes of conversations: unique words in place of what people wrote, so that the rest is the template's own text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from affinage.data.records import Message, ToolCall
from affinage.errors import InputError

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
"""Known roles. Others are refused: a template pastes the role into its control tokens, so it must not be free text."""

ANSWER_TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>")
"""What a model itself writes inside an answer; a template that names them may treat the text between them apart."""

WORD = re.compile(r"zqv(\d+)x(\d+)vqz")

Slot = tuple[int, int]
"""A gap in a shape: the number of the turn, and of the text within it. Contents count from 0, then see below."""

REASONING, ARGUMENTS = 1000, 2000  # where the numbers of a turn's reasoning and of its calls' texts begin
_TOOLS = 10**6  # the "turn" of the words in the tools


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What a chat template is given: turns, and the functions that may be called (each as JSON text).

    A shape is a dialogue whose texts are words. Names of functions and of arguments stay as they are, as templates
    look them up; so do numbers, which templates write in ways of their own.
    """

    turns: tuple[Message, ...]
    tools: tuple[str, ...] = ()

    def before(self, number: int) -> Dialogue:
        """The dialogue up to, but without, turn `number`."""
        return replace(self, turns=self.turns[:number])

    def with_turn(self, number: int, turn: Message) -> Dialogue:
        """The dialogue with another turn in the place of `number` (or one more at the end)."""
        return replace(self, turns=(*self.turns[:number], turn, *self.turns[number + 1 :]))


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a rendered chat.

    `control`: one control token of the template. `turn`: the message whose learnable part (content and end-of-turn
    token, not the role header) this belongs to, or -1. `content`: it is the message's content. `cut`: tokens must not
    span the border before this piece, because generation starts or stops there. `slot`: which word stands here.
    """

    text: str
    control: bool = False
    turn: int = -1
    content: bool = False
    cut: bool = False
    slot: Slot | None = None


def word(turn: int, number: int) -> str:
    """The word of a slot: found by `WORD`, and an identifier in every language that a template may write."""
    return f"zqv{turn}x{number}vqz"


def slots_in(text: str) -> list[tuple[int, int, Slot]]:
    """Start, end and slot of each word in `text`."""
    return [(found.start(), found.end(), (int(found[1]), int(found[2]))) for found in WORD.finditer(text)]


def shape_of(dialogue: Dialogue, tags: Sequence[str], control: re.Pattern[str]) -> tuple[Dialogue, dict[Slot, str]]:
    """The shape of a dialogue, and the text that belongs in each of its slots.

    Args:
        tags: of `ANSWER_TAGS`, those that the template may look for; they stay in the shape.
        control: finds control tokens. No name may hold one, as names stay in the shape.

    Raises:
        InputError: an unknown role, a name with a control token, or calls that are not JSON.
    """
    contents: dict[Slot, str] = {}
    turns = tuple(_turn(turn, number, contents, tags, control) for number, turn in enumerate(dialogue.turns))
    if not dialogue.tools:
        return Dialogue(turns), contents
    risky = _Leaves(_TOOLS, 0, contents, control, lambda text: bool(control.search(text) or WORD.search(text)))
    return Dialogue(turns, tuple(json.dumps(risky.replaced(parsed(tool))) for tool in dialogue.tools)), contents


def parsed(text: str) -> Any:
    """The value that a JSON text stands for.

    Raises:
        InputError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(
            f"a call or tool is not JSON that can be read: {text[:60]!r}", fix="write its arguments as a JSON object"
        ) from None


def _turn(
    turn: Message, number: int, contents: dict[Slot, str], tags: Sequence[str], control: re.Pattern[str]
) -> Message:
    if turn.role not in ROLES:
        raise InputError(f"unknown role {turn.role!r}", fix=f"use one of {', '.join(ROLES)}")
    words = []
    for piece in _apart(turn, tags):
        if (piece in tags and turn.role == "assistant") or not piece.strip():
            words.append(piece)
            continue
        slot = (number, len(words))
        contents[slot] = piece
        words.append(word(*slot))
    content = "".join(words)
    if not (turn.reasoning or turn.calls or turn.name or turn.call):
        return Message(turn.role, content)
    reasoning = ""
    if turn.reasoning.strip():
        contents[number, REASONING] = turn.reasoning
        reasoning = word(number, REASONING)
    leaves = _Leaves(number, ARGUMENTS, contents, control, lambda text: bool(text.strip()))
    calls = tuple(
        ToolCall(_named(call.name, control), json.dumps(leaves.replaced(parsed(call.arguments))), call.id)
        for call in turn.calls
    )
    names = (_named(turn.name, control), _named(turn.call, control))
    return Message(turn.role, content, None, reasoning, calls, *names)


def _apart(turn: Message, tags: Sequence[str]) -> list[str]:
    """The content, for an answer cut at the tags that the template may look for."""
    if turn.role != "assistant" or not any(tag in turn.content for tag in tags):
        return [turn.content]
    return re.split("(" + "|".join(map(re.escape, tags)) + ")", turn.content)


def _named(name: str, control: re.Pattern[str]) -> str:
    if control.search(name) or WORD.search(name):
        raise InputError(f"the name {name[:60]!r} holds a control word of the tokenizer", fix="choose another name")
    return name


@dataclass(slots=True)
class _Leaves:
    """Puts words in the place of the strings in JSON values."""

    turn: int
    number: int
    contents: dict[Slot, str]
    control: re.Pattern[str]
    wanted: Callable[[str], bool]

    def replaced(self, value: Any) -> Any:
        if isinstance(value, str) and self.wanted(value):
            slot = (self.turn, self.number)
            self.number += 1
            self.contents[slot] = value
            return word(*slot)
        if isinstance(value, list):
            return [self.replaced(item) for item in value]
        if isinstance(value, dict):
            return {_named(key, self.control): self.replaced(item) for key, item in value.items()}
        return value
