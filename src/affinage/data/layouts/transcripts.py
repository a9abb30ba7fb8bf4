"""Conversations that are written down as one text: `Human: ...`, a blank line, `Assistant: ...`."""

from __future__ import annotations

import re

from affinage.data.records import Message

_HEAD = re.compile(r"\s*(?:Human|User):")
_TURN = re.compile(r"(?:\A\s*|\n\n)(Human|User|Assistant|System):[ \t]*")
_ROLES = {"Human": "user", "User": "user", "Assistant": "assistant", "System": "system"}


def is_transcript(text: str) -> bool:
    """Whether `text` begins with what a person says and goes on with an assistant."""
    return "\n\nAssistant:" in text and _HEAD.match(text) is not None


def transcript_turns(text: str) -> list[Message]:
    """The turns of a transcript, white space around them taken off; an assistant's open turn at the end is left out."""
    marks = list(_TURN.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    turns = [Message(_ROLES[mark[1]], text[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True)]
    if turns and turns[-1].role == "assistant" and not turns[-1].content:
        turns.pop()
    return turns
