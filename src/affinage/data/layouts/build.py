"""Texts, chats and prompts out of the values of one row, once its layout is known; `BadRowError` for what cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from affinage.data.layouts import columns as col
from affinage.data.layouts.bad_row import BadRowError
from affinage.data.layouts.columns import Values
from affinage.data.layouts.tools import calls_of, is_call, json_text, schemas_of
from affinage.data.layouts.transcripts import is_transcript
from affinage.data.layouts.turns import check_order, parse_turns
from affinage.data.records import Chat, Label, Labelled, Message, Prompt, Record, Source, Text


@dataclass(frozen=True, slots=True)
class Asked:
    """Where what is asked stands in a row.

    Attributes:
        main: column of the question, as text, as turns or as a transcript.
        before: column of a text that the question is about, put before it; `after`: an input, put after it.
        history: column of earlier [question, answer] pairs.
    """

    main: str
    before: str | None = None
    after: str | None = None
    system: str | None = None
    history: str | None = None

    @property
    def shown(self) -> str:
        """The columns, for a layout's description."""
        return " + ".join(f"`{column}`" for column in (self.before, self.main, self.after) if column)

    def turns(self, values: Values) -> list[Message]:
        """The turns of the prompt.

        Raises:
            BadRowError: nothing is asked (`empty-prompt`), or something else than text or turns stands there.
        """
        value = col.get(values, self.main)
        if _holds_turns(value):
            turns = parse_turns(value, self.main)
        else:
            turns = [Message("user", self._question(col.text_of(values, self.main), values))]
            if self.history in values:
                turns = [*self._history(values), *turns]
        return with_system(turns, values, self.system) if self.system else turns

    def _question(self, text: str, values: Values) -> str:
        given = col.optional_text(values, self.after) if self.after else ""
        if given and not given.isspace():
            text = f"{text}\n\n{given}" if text.strip() else given
        col.said(text, "empty-prompt", self.main)
        passage = col.optional_text(values, self.before) if self.before else ""
        return f"{passage}\n\n{text}" if passage.strip() else text

    def _history(self, values: Values) -> list[Message]:
        history = values.get(str(self.history)) or []
        if not isinstance(history, list) or not all(isinstance(turn, list) and len(turn) == 2 for turn in history):
            raise BadRowError("wrong-type", f"`{self.history}` must be a list of [prompt, response]")
        if not all(isinstance(text, str) for turn in history for text in turn):
            raise BadRowError("wrong-type", f"`{self.history}` must hold texts")
        return [Message(role, text) for turn in history for role, text in zip(("user", "assistant"), turn, strict=True)]


def with_system(turns: list[Message], values: Values, column: str | None) -> list[Message]:
    """The turns after a system turn out of `column`, unless they have one of their own."""
    said = col.optional_text(values, column).strip() if column else ""
    return [Message("system", said), *turns] if said and turns and turns[0].role != "system" else turns


def _holds_turns(value: Any) -> bool:
    if type(value) is str:
        return is_transcript(value)
    if isinstance(value, Mapping):
        return "replies" in value
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def conversation(
    turns: Sequence[Message], source: Source, *, answered: bool, tools: tuple[str, ...] = ()
) -> Chat | Prompt:
    """A chat, or a prompt where the rows of a file are not `answered`.

    Raises:
        BadRowError: turns in an odd order, empty ones, or no answer.
    """
    check_order(turns)
    if answered:
        if turns[-1].role != "assistant" and all(turn.role != "assistant" for turn in turns):
            raise BadRowError("empty-response", "no assistant turn")
        return Chat(messages=tuple(turns), tools=tools, source=source)
    if turns[-1].role == "assistant":
        return Prompt(messages=tuple(turns[:-1]), reference=turns[-1].content, tools=tools, source=source)
    return Prompt(messages=tuple(turns), tools=tools, source=source)


def make_chat(
    column: str, system: str | None, tools: str | None, answered: bool, values: Values, source: Source
) -> Record:
    """Turns under `column`; without any `answered` chat in the file, a Prompt."""
    turns = with_system(parse_turns(col.get(values, column), column), values, system)
    return conversation(turns, source, answered=answered, tools=_tools(values, tools))


def _tools(values: Values, column: str | None) -> tuple[str, ...]:
    return schemas_of(values.get(column), column) if column is not None else ()


def instances(values: Values) -> list[Values]:
    """A seed task as one instruction row for each of its instances."""
    instances = col.get(values, "instances")
    if not isinstance(instances, list) or not all(isinstance(item, Mapping) for item in instances):
        raise BadRowError("wrong-type", "`instances` must be a list of objects with `input` and `output`")
    if not instances:
        raise BadRowError("empty-response", "`instances` is empty")
    return [{"instruction": values.get("instruction"), **col.folded(item)} for item in instances]


def make_pair(asked: Asked, response: str, tools: str | None, values: Values, source: Source) -> Record:
    """What is asked and its answer, which is text, turns, or calls where the row has `tools`."""
    turns = asked.turns(values)
    value = col.get(values, response)
    schemas = _tools(values, tools) if tools else ()
    if isinstance(value, list) and value and col.is_turn(value[0]):
        return conversation([*turns, *parse_turns(value, response)], source, answered=True, tools=schemas)
    calls = _calls(value) if schemas else None
    if calls:
        turns.append(Message("assistant", "", calls=calls_of(calls, response)))
    else:
        turns.append(Message("assistant", col.said(col.response_of(values, response), "empty-response", response)))
    return conversation(turns, source, answered=True, tools=schemas)


def _calls(value: Any) -> list[Any] | None:
    """The calls that stand as an answer: a list of them, or its JSON text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    return value if isinstance(value, list) and value and all(is_call(item) for item in value) else None


def make_labelled(
    text: str, label: Callable[[Values], Label], title: str | None, values: Values, source: Source
) -> Record:
    """A text, after its title unless it begins with it, and its label."""
    content = col.said(col.text_of(values, text), "empty-text", text)
    heading = col.optional_text(values, title).strip()
    if heading and not content.lstrip().startswith(heading):
        content = f"{heading}\n{content}"
    return Labelled(text=content, label=label(values), source=source)


def make_text(column: str, values: Values, source: Source) -> Record:
    """A bare text."""
    return Text(text=col.said(col.text_of(values, column), "empty-text", column), source=source)


def make_prompt(asked: Asked, reference: str | None, tools: str | None, values: Values, source: Source) -> Record:
    """A prompt without an answer to learn from, perhaps with a reference to check one by."""
    prompt = conversation(asked.turns(values), source, answered=False, tools=_tools(values, tools))
    told = _reference(values, reference) if reference else ""
    return replace(prompt, reference=told) if told and isinstance(prompt, Prompt) else prompt


def _reference(values: Values, column: str) -> str:
    value = values.get(column)
    if isinstance(value, Mapping) and "ground_truth" in value:
        value = value["ground_truth"]
    if isinstance(value, list | Mapping) and not (isinstance(value, Mapping) and "text" in value):
        return json_text(value, column)
    return col.answer_text(value, column)
