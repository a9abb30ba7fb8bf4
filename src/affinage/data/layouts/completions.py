"""Completions of one prompt, out of texts, turns, transcripts or whole conversations with the prompt inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from affinage.data.layouts import columns as col
from affinage.data.layouts.bad_row import BadRowError, kind_of
from affinage.data.layouts.build import Asked, with_system
from affinage.data.layouts.columns import Values
from affinage.data.layouts.transcripts import is_transcript
from affinage.data.layouts.turns import check_order, parse_turns
from affinage.data.records import Message

TEXT_KEYS = ("response", "completion", "answer", "text", "content", "output", "generation", "reply", "summary")
Answered = tuple[tuple[Message, ...], tuple[Message, ...]]


def answered(asked: Asked | None, system: str | None, said: Mapping[str, Any], values: Values) -> Answered:
    """The prompt's turns and one assistant turn for each completion.

    Where every completion holds the prompt too (as turns, as a transcript or as text), what they share becomes the
    prompt.

    Args:
        asked: where the prompt stands, or nothing where it stands inside the completions.
        said: the completions, each under the name of the column that a person should look at.

    Raises:
        BadRowError: an empty prompt or completion, or completions that part before their last turn (`not-comparable`).
    """
    given = asked.turns(values) if asked is not None else []
    written = list(said.items())
    spoken = [_turns(value, name) for name, value in written]
    if all(isinstance(turns, str) for turns in spoken):
        prompt, texts = _split_texts(given, [str(text) for text in spoken])
        turns = [Message("assistant", text) for text in texts]
    else:
        prompt, turns = _split_turns(given, [_as_turns(turns) for turns in spoken], [name for name, _ in written])
    prompt = with_system(prompt, values, system)
    check_order(prompt)
    if prompt[-1].role == "assistant":
        raise BadRowError("bad-role-order", "the prompt ends with an answer")
    for turn, (name, _) in zip(turns, written, strict=True):
        if not turn.content.strip() and not turn.calls:
            raise BadRowError("empty-response", f"`{name}` is empty")
    return tuple(prompt), tuple(turns)


def _turns(value: Any, name: str) -> str | list[Message]:
    """A completion as text, or as turns."""
    if isinstance(value, str):
        return parse_turns(value, name) if is_transcript(value) or value.startswith('[{"') else value
    if col.is_turn(value):
        return parse_turns([value], name)
    if isinstance(value, Mapping):
        return _inside(value, name)
    if isinstance(value, list) and value and col.is_turn(value[0]):
        return parse_turns(value, name)
    if col.is_media(value) or (value is not None and not isinstance(value, list) and not col.is_number(value)):
        raise BadRowError("wrong-type", f"`{name}` must be text or turns, found {kind_of(value)}")
    return col.answer_text(value, name)


def _inside(value: Mapping[str, Any], name: str) -> str:
    """The text of a completion that is an object with its rating or its author."""
    text = next((value[key] for key in TEXT_KEYS if isinstance(value.get(key), str)), None)
    if text is None:
        raise BadRowError("wrong-type", f"`{name}` must be text or turns, found {kind_of(value)}")
    return str(text)


def _as_turns(turns: str | list[Message]) -> list[Message]:
    return [Message("assistant", turns)] if isinstance(turns, str) else turns


def _split_texts(given: list[Message], texts: list[str]) -> tuple[list[Message], list[str]]:
    """Texts after their prompt, which stands beside them, or is what they have in common."""
    if given:
        asked = given[-1].content
        if asked and all(text.startswith(asked) and text[len(asked) :].strip() for text in texts):
            texts = [text[len(asked) :].strip() for text in texts]
        return given, [text.strip() for text in texts]
    shared = _shared(texts)
    if not shared.strip():
        raise BadRowError("empty-prompt", "there is no prompt, and the completions begin with nothing in common")
    return [Message("user", shared.strip())], [text[len(shared) :].strip() for text in texts]


def _shared(texts: list[str]) -> str:
    """What all texts begin with, cut after white space: not in the middle of a word."""
    low, high = min(texts), max(texts)
    if low == high:
        return ""
    size = next((place for place, (one, other) in enumerate(zip(low, high, strict=False)) if one != other), len(low))
    while size and not low[size - 1].isspace():
        size -= 1
    return low[:size]


def _split_turns(
    given: list[Message], spoken: list[list[Message]], names: Sequence[str]
) -> tuple[list[Message], list[Message]]:
    """Turns after their prompt; where they begin with a prompt of their own, that one counts."""
    inside = [turns for turns in spoken if turns and turns[0].role != "assistant"]
    shared: list[Message] = []
    if inside:
        if len(inside) < len(spoken):
            raise BadRowError("not-comparable", "some of the completions hold a prompt, others do not")
        shortest = min(len(turns) for turns in spoken) - 1
        while len(shared) < shortest and all(turns[len(shared)] == spoken[0][len(shared)] for turns in spoken):
            shared.append(spoken[0][len(shared)])
    for name, turns in zip(names, spoken, strict=True):
        if len(turns) != len(shared) + 1 or turns[-1].role != "assistant":
            raise BadRowError("not-comparable", f"`{name}` parts from the others before its last answer")
    return _prompt(given, shared), [turns[-1] for turns in spoken]


def _prompt(given: list[Message], shared: list[Message]) -> list[Message]:
    """The prompt inside the completions, unless it only goes on from the one beside them."""
    if not shared or not given:
        return shared or given
    said = {turn.content.strip() for turn in shared}
    own = [turn for turn in given if turn.role != "system"]
    if all(turn.content.strip() in said for turn in own) or shared[0].role == "system":
        return [*(turn for turn in given[:1] if turn.role == "system" and shared[0].role != "system"), *shared]
    return [*given, *shared]
