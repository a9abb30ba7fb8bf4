"""What a record says, as plain text: its prompt, its answers, both, or every part of it. Labels are left out.

Prompts and answers, by which rows are told apart, leave system turns and reasoning out; `contents` has them too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from affinage.data.records import Chat, Labelled, Message, Pair, Preference, Prompt, Rated, Record, Text


def prompt_text(record: Record) -> str:
    """What is asked, or the whole text where nothing is: what `split_key` covers, unfolded."""
    match record:
        case Text(text=text) | Labelled(text=text):
            return text
        case Chat():
            return _joined(record.prompt)
        case Prompt() | Preference() | Rated():
            return _joined(record.messages)
        case Pair():
            return record.query
    raise TypeError(f"{type(record).__name__} is not a kind of record")


def answer_texts(record: Record) -> list[str]:
    """What is answered: the turns after the prompt, the reference, the completions, or the passages."""
    match record:
        case Chat():
            return [text for message in record.messages[len(record.prompt) :] if (text := said(message))]
        case Prompt():
            return [record.reference] if record.reference else []
        case Preference():
            return [said(completion) for completion in record.completions]
        case Rated():
            return [said(record.completion)]
        case Pair():
            return [record.passage]
    return []


def whole_text(record: Record) -> str:
    """Prompt and answers: what near-duplicates are told by. A question with another answer is another row."""
    return "\n".join([prompt_text(record), *answer_texts(record)])


def contents(record: Record) -> tuple[str, ...]:
    """Every text of a record, one by one: system turns, reasoning, the arguments of calls and negatives included."""
    match record:
        case Text(text=text) | Labelled(text=text):
            return (text,)
        case Chat():
            return tuple(part for turn in record.messages for part in _parts(turn))
        case Prompt():
            reference = (record.reference,) if record.reference else ()
            return (*(turn.content for turn in record.messages), *reference)
        case Preference():
            return tuple(part for turn in (*record.messages, *record.completions) for part in _parts(turn))
        case Rated():
            return tuple(part for turn in (*record.messages, record.completion) for part in _parts(turn))
        case Pair():
            return (record.query, record.passage, *record.negatives)
    raise TypeError(f"{type(record).__name__} is not a kind of record")


def best_answer(record: Record) -> str:
    """What a record would have a model say: its last answer, its best completion, or an empty string."""
    match record:
        case Chat():
            return record.reference
        case Preference():
            return record.best.content
        case Rated():
            return record.completion.content
    return ""


def said(turn: Message) -> str:
    """The content of a turn, then each of its calls as `name(arguments)`."""
    return "\n".join([*([turn.content] if turn.content else []), *(f"{c.name}({c.arguments})" for c in turn.calls)])


def _joined(messages: Iterable[Message]) -> str:
    return "\n".join(said(message) for message in messages if message.role != "system")


def _parts(turn: Message) -> Iterator[str]:
    """What a turn holds; a content that is empty only because the turn calls functions is left out."""
    if turn.reasoning:
        yield turn.reasoning
    if turn.content or not turn.calls:
        yield turn.content
    yield from (call.arguments for call in turn.calls)
