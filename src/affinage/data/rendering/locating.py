"""Where each turn lies in the text of a shape: what a model must generate itself, and what of it is content."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from affinage.data.records import Message
from affinage.data.rendering.endings import Endings
from affinage.data.rendering.jinja import Jinja
from affinage.data.rendering.matching import common
from affinage.data.rendering.shapes import WORD, Dialogue, Slot, word
from affinage.errors import InputError


@dataclass(frozen=True, slots=True)
class Turn:
    """Positions of one message in the rendered shape: learnable [start, end), content [first, last)."""

    message: int
    start: int
    first: int
    last: int
    end: int
    answer: bool
    calls: bool = False


@dataclass(frozen=True, slots=True)
class _Own:
    """The words of one turn in the text: [first, last), and where the next turn's first word begins."""

    first: int
    last: int
    following: int


class Locator:
    """Finds turns in what the template behind `jinja` writes; `tags` are the answer tags that it may look for."""

    def __init__(self, jinja: Jinja, endings: Endings, tags: Sequence[str]) -> None:
        self._jinja = jinja
        self._endings = endings
        self._tags = tags

    def turn(self, shape: Dialogue, number: int, text: str, slots: list[tuple[int, int, Slot]]) -> Turn | None:
        """Turn `number` of `shape` in its `text`; None for a turn that says nothing.

        Raises:
            InputError: the template writes a turn's text twice, or leaves a call out.
        """
        message = shape.turns[number]
        own = _own(number, text, slots)
        if message.calls:
            return self._calling(shape, number, text, own)
        if own is None:
            return None
        first, last = own.first, own.last
        if message.role != "assistant":
            ends = [end for end in self._endings.of_turn if end and text.startswith(end, last)]
            return Turn(number, first, first, last, last + len(ends[0]) if ends else last, answer=False)
        first, last = self._with_tags(message.content, text, first, last)
        start = self._start(shape, number, text, first)
        end = last + self._endings.after(text[last : own.following])
        return Turn(number, start, max(first, start), last, end, answer=True)

    def _start(self, shape: Dialogue, number: int, text: str, first: int) -> int:
        """Where generation of answer `number` starts, `first` being where its own text does."""
        for found in (self._opening(shape, number, text), self._later_opening(shape, number, text, first)):
            if found is not None:
                return found
        turn = shape.turns[number]
        return self._header(shape, number, text, first) if turn.calls or turn.reasoning else first

    def _opening(self, shape: Dialogue, number: int, text: str) -> int | None:
        """After the generation prompt, if the answer begins like that."""
        if number == 0:
            return None
        before = shape.before(number)
        try:
            prompt = self._jinja.text(before, prompt=True)
        except InputError:
            return None
        found = WORD.search(text, len(prompt))
        if not text.startswith(prompt) or (found is None and not shape.turns[number].calls):
            return None
        first = len(text) if found is None else found.start()
        if text[len(prompt) : first].strip() and prompt == self._jinja.text(before):
            return None  # the template knows no generation prompt: the header belongs to the prompt all the same
        return len(prompt)

    def _later_opening(self, shape: Dialogue, number: int, text: str, first: int) -> int | None:
        """As `_opening`, where the template writes what stands before the answer in another way once it is answered."""
        before = shape.before(number)
        try:
            whole, prompt = self._jinja.text(before), self._jinja.text(before, prompt=True)
        except InputError:
            return None
        added = prompt.removeprefix(whole) if prompt.startswith(whole) else ""
        if not added or text.startswith(whole):
            return None
        low = max((found.end() for found in WORD.finditer(text, 0, first)), default=0)
        at = text.find(added, low, first)
        return None if at < 0 else at + len(added)

    def _calling(self, shape: Dialogue, number: int, text: str, own: _Own | None) -> Turn:
        """An answer with calls: all from the generation prompt to the end of the turn has to be generated."""
        first, last = self._calls(shape, number, text)
        if own is not None:
            first, last = min(first, own.first), max(last, own.last)
        start = self._start(shape, number, text, first)
        following = next((found.start() for found in WORD.finditer(text, last)), len(text))
        return Turn(
            number, start, max(start, first), last, last + self._endings.after_calls(text[last:following]),
            answer=True, calls=True,
        )  # fmt: skip

    def _calls(self, shape: Dialogue, number: int, text: str) -> tuple[int, int]:
        """From the name of the first call to the end of the last one's arguments.

        Both are found by rendering the shape with another name, and with other arguments.
        """
        turn = shape.turns[number]
        named = replace(turn.calls[0], name="zqv" + turn.calls[0].name)
        given = replace(turn.calls[-1], arguments='{"zqvkey": "zqvend"}')
        other_name = self._jinja.text(shape.with_turn(number, replace(turn, calls=(named, *turn.calls[1:]))))
        other_arguments = self._jinja.text(shape.with_turn(number, replace(turn, calls=(*turn.calls[:-1], given))))
        if text in (other_name, other_arguments):
            raise InputError(
                f"the chat template leaves out a call of turn {number + 1}",
                fix="one call a turn, or a model whose template knows several",
            )
        return len(common(text, other_name)), len(text) - len(common(text[::-1], other_arguments[::-1]))

    def _header(self, shape: Dialogue, number: int, text: str, first: int) -> int:
        """Where an answer starts whose generation prompt reads otherwise: after all that a plain answer has as well."""
        try:
            plain = self._jinja.text(shape.with_turn(number, Message("assistant", word(number, 0))))
        except InputError:
            return first
        return min(first, len(common(text, plain)))

    def _with_tags(self, words: str, text: str, first: int, last: int) -> tuple[int, int]:
        """The content's span, widened by tags that stand at its very beginning or end."""
        for tag in self._tags:
            if words.lstrip().startswith(tag) and (found := re.search(re.escape(tag) + r"\s*\Z", text[:first])):
                first = found.start()
            if words.rstrip().endswith(tag) and (found := re.match(r"\s*" + re.escape(tag), text[last:])):
                last += found.end()
        return first, last


def _own(number: int, text: str, slots: list[tuple[int, int, Slot]]) -> _Own | None:
    own = [index for index, (_, _, slot) in enumerate(slots) if slot[0] == number]
    if not own:
        return None
    if any(slots[index][2][0] != number for index in range(own[0], own[-1] + 1)):
        raise InputError(
            f"the chat template writes the text of turn {number + 1} twice, or another turn's in the middle of it",
            fix="take out what an answer says beside its calls, or give another template",
        )
    following = slots[own[-1] + 1][0] if own[-1] + 1 < len(slots) else len(text)
    return _Own(slots[own[0]][0], slots[own[-1]][1], following)
