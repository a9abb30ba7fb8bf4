"""What a chat template writes after an answer, found by rendering small conversations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from affinage.data.records import Message, ToolCall
from affinage.data.rendering.encoding import Encoder
from affinage.data.rendering.jinja import Jinja
from affinage.data.rendering.matching import common
from affinage.data.rendering.shapes import ANSWER_TAGS, ARGUMENTS, Dialogue, word
from affinage.errors import InputError

_TOOL = (
    '{"type": "function", "function": {"name": "zqvtool", "description": "zqv", "parameters": '
    '{"type": "object", "properties": {"zqvkey": {"type": "string", "description": "zqv"}}, "required": ["zqvkey"]}}}'
)
_CALL_ID = "callzqv01"  # nine letters and digits: some templates insist
_USER = Message("user", word(0, 0))


@dataclass(frozen=True, slots=True)
class CallEnd:
    """`token`: the control token that ends a turn of calls. `missing`: what to write where the template leaves it out."""

    token: str = ""
    missing: str = ""


class Endings:
    """Ends of turns of the template behind `jinja`; `encoder` knows the control tokens."""

    def __init__(self, jinja: Jinja, encoder: Encoder, eos: str) -> None:
        self._jinja = jinja
        self._encoder = encoder
        self._eos = eos

    @cached_property
    def of_turn(self) -> tuple[str, str]:
        """What closes an answer: at the end of a conversation, and when a user turn follows. May be empty strings."""
        for opening in ((), (Message("system", word(9, 0)),)):
            chat = Dialogue((*opening, _USER, Message("assistant", word(1, 0))))
            more = Dialogue((*chat.turns, Message("user", word(2, 0))))
            try:
                last = self._jinja.text(chat).split(word(1, 0))[-1]
                middle = self._jinja.text(more).split(word(1, 0))[-1].split(word(2, 0))[0]
            except InputError:
                continue
            shared = self.through_control(common(last, middle), "last")
            if shared:
                return shared, shared
            return self.through_control(last, "first"), self.through_control(middle, "first")
        return "", ""

    @property
    def closing(self) -> str:
        """What ends the last answer of a conversation, also where the template itself writes nothing there."""
        last, middle = self.of_turn
        return last or middle or self._eos

    @cached_property
    def of_calls(self) -> CallEnd:
        """What ends a turn of calls. Tokens of the call block itself end nothing: they also stand between two calls."""
        if not self._jinja.takes_calls:
            return CallEnd()
        first, second = word(1, ARGUMENTS), word(1, ARGUMENTS + 1)
        result = Message("tool", word(2, 0), name="zqvtool", call=_CALL_ID)
        last = self._between(first, "", _calls(first))
        middle = self._between(first, word(2, 0), _calls(first), result) or last
        block = {*self._controls(self._between(first, second, _calls(first, second))), *ANSWER_TAGS}
        shared = common(last, middle)
        ends = [token for token in self._controls(shared) if token not in block]
        if ends:
            return CallEnd(ends[-1])
        token = next((token for token in self._controls(middle) if token not in block), "")
        if not token:
            return CallEnd()
        return CallEnd(token, middle[len(shared) : middle.index(token) + len(token)])

    def after(self, tail: str) -> int:
        """Length of the end of a turn at the beginning of `tail`, what follows an answer's content."""
        for end in self.of_turn:
            if end and tail.startswith(end):
                return len(end)
        return len(self.through_control(tail, "first"))

    def after_calls(self, tail: str) -> int:
        """As `after`, where calls end the answer; 0 where their end is not written."""
        token = self.of_calls.token
        if not token:
            return len(self.through_control(tail, "first"))
        return tail.find(token) + len(token) if token in tail else 0

    def through_control(self, text: str, which: Literal["first", "last"]) -> str:
        """`text` up to and with its first or last control token; empty without one."""
        found = list(self._encoder.pattern.finditer(text))
        return text[: found[0 if which == "first" else -1].end()] if found else ""

    def _controls(self, text: str) -> list[str]:
        return [found[0] for found in self._encoder.pattern.finditer(text)]

    def _between(self, start: str, end: str, *turns: Message) -> str:
        """What a conversation of `turns` has between two words, or after the first; empty where it cannot be written."""
        tools = (_TOOL,) if self._jinja.takes_tools else ()
        try:
            text = self._jinja.text(Dialogue((_USER, *turns), tools))
        except InputError:
            return ""
        after = text.split(start)[-1] if start in text else ""
        return after if not end else after.split(end)[0] if end in after else ""


def _calls(*values: str) -> Message:
    calls = (ToolCall("zqvtool", f'{{"zqvkey": "{value}"}}', _CALL_ID) for value in values)
    return Message("assistant", "", calls=tuple(calls))
