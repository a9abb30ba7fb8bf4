"""What a record says, as plain text: its prompt, its answers, and both. System turns and labels are left out."""

from __future__ import annotations

from collections.abc import Iterable

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


def said(turn: Message) -> str:
    """The content of a turn, then each of its calls as `name(arguments)`."""
    return "\n".join([*([turn.content] if turn.content else []), *(f"{c.name}({c.arguments})" for c in turn.calls)])


def _joined(messages: Iterable[Message]) -> str:
    return "\n".join(said(message) for message in messages if message.role != "system")
