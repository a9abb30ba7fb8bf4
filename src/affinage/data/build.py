"""Records out of the values of one row, once its layout is known; `BadRowError` for what cannot be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from affinage.data import columns as col
from affinage.data.columns import Values
from affinage.data.records import Chat, Labelled, Message, Prompt, Record, Source, Text
from affinage.data.turns import BadRowError, check_order, parse_turns


def make_chat(column: str, system: str | None, answered: bool, values: Values, source: Source) -> Record:
    """Turns under `column`; without any `answered` chat in the file, a Prompt."""
    turns = parse_turns(col.get(values, column), column)
    said = col.optional_text(values, system).strip()
    if said and turns and turns[0].role != "system":
        turns.insert(0, Message("system", said))
    return _conversation(turns, source, answered=answered)


def _conversation(turns: Sequence[Message], source: Source, *, answered: bool) -> Record:
    check_order(turns)
    if answered:
        if all(turn.role != "assistant" for turn in turns):
            raise BadRowError("empty-response", "no assistant turn")
        return Chat(messages=tuple(turns), source=source)
    if turns[-1].role == "assistant":
        return Prompt(messages=tuple(turns[:-1]), reference=turns[-1].content, source=source)
    return Prompt(messages=tuple(turns), source=source)


def instances(values: Values) -> list[Values]:
    """A seed task as one alpaca row for each of its instances."""
    instances = col.get(values, "instances")
    if not isinstance(instances, list) or not all(isinstance(item, Mapping) for item in instances):
        raise BadRowError("wrong-type", "`instances` must be a list of objects with `input` and `output`")
    if not instances:
        raise BadRowError("empty-response", "`instances` is empty")
    return [{"instruction": values.get("instruction"), **col.folded(item)} for item in instances]


def make_alpaca(extra: str | None, response: str, system: str | None, values: Values, source: Source) -> Record:
    """`instruction`, then the `extra` input, then the answer."""
    asked = [col.text_of(values, "instruction"), col.optional_text(values, extra)]
    prompt = "\n\n".join(text for text in asked if text.strip())
    answer = col.said(col.response_of(values, response), "empty-response", response)
    turns = [*_history(values), Message("user", col.said(prompt, "empty-prompt", "instruction"))]
    return _pair_record(turns, answer, col.optional_text(values, system), source)


def _history(values: Values) -> list[Message]:
    history = values.get("history") or []
    if not isinstance(history, list) or not all(isinstance(turn, list) and len(turn) == 2 for turn in history):
        raise BadRowError("wrong-type", "`history` must be a list of [prompt, response]")
    if not all(isinstance(text, str) for turn in history for text in turn):
        raise BadRowError("wrong-type", "`history` must hold texts")
    return [Message(role, text) for turn in history for role, text in zip(("user", "assistant"), turn, strict=True)]


def _pair_record(turns: Sequence[Message], answer: str, system: str, source: Source) -> Record:
    before = [Message("system", system)] if system.strip() else []
    return _conversation([*before, *turns, Message("assistant", answer)], source, answered=True)


def make_pair(
    prompt: str, response: str, context: str | None, system: str | None, values: Values, source: Source
) -> Record:
    """A prompt (after its context) and its response, either of them text or turns."""
    turns = _prompt_turns(prompt, context, values)
    value = col.get(values, response)
    if isinstance(value, list) and value and isinstance(value[0], Mapping) and "role" in value[0]:
        return _conversation([*turns, *parse_turns(value, response)], source, answered=True)
    answer = col.said(col.response_of(values, response), "empty-response", response)
    return _pair_record(turns, answer, col.optional_text(values, system), source)


def _prompt_turns(prompt: str, context: str | None, values: Values) -> list[Message]:
    value = col.get(values, prompt)
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return parse_turns(value, prompt)
    question = col.said(col.text_of(values, prompt), "empty-prompt", prompt)
    passage = col.optional_text(values, context)
    return [Message("user", f"{passage}\n\n{question}" if passage.strip() else question)]


def make_labelled(text: str, label: str, title: str | None, values: Values, source: Source) -> Record:
    """A text, after its title unless it begins with it, and its label."""
    content = col.said(col.text_of(values, text), "empty-text", text)
    heading = col.optional_text(values, title).strip()
    if heading and not content.lstrip().startswith(heading):
        content = f"{heading}\n{content}"
    return Labelled(text=content, label=col.label_of(values, label), source=source)


def make_text(column: str, values: Values, source: Source) -> Record:
    """A bare text."""
    return Text(text=col.said(col.text_of(values, column), "empty-text", column), source=source)


def make_prompt(column: str, system: str | None, values: Values, source: Source) -> Record:
    """A prompt without an answer."""
    said = col.optional_text(values, system)
    before = [Message("system", said)] if said.strip() else []
    return _conversation([*before, *_prompt_turns(column, None, values)], source, answered=False)
