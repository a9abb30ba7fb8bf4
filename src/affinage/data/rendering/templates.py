"""The tokenizer's own chat template, and where in its output each turn's text lies.

Templates strip contents, merge the system text into the first user turn, drop earlier reasoning, add dates, or refuse
some orders of roles, and most mark no answer at all. So each *shape* of conversation is rendered once with unique
words in place of the contents; what lies around the words is the template's own text. A real rendering must then be
exactly that text with the contents (as they are, stripped or escaped) in its gaps, or it is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING

from affinage.data.records import Message
from affinage.data.rendering.encoding import Encoder
from affinage.data.rendering.endings import Endings
from affinage.data.rendering.jinja import Jinja
from affinage.data.rendering.locating import Locator, Turn
from affinage.data.rendering.matching import match
from affinage.data.rendering.plain_template import PLAIN_TEMPLATE
from affinage.data.rendering.shapes import ANSWER_TAGS, Dialogue, Piece, Slot, shape_of, slots_in, word
from affinage.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ANSWER_TAGS", "PLAIN_TEMPLATE", "ChatTemplate"]

_KEPT_SHAPES = 2048


@dataclass(frozen=True, slots=True)
class _Laid:
    """A rendered shape; `added` is what closes it where the template writes nothing, `lost` reasonings it leaves out."""

    pieces: tuple[Piece, ...]
    added: str = ""
    lost: tuple[Slot, ...] = ()


class ChatTemplate:
    """Lays out conversations by the chat template of `tokenizer`.

    Args:
        tokenizer: writes the chats.
        encoder: knows the control tokens.
        source: the template that `tokenizer` is to use.

    Attributes:
        left_out: how often earlier answers were laid out without their reasoning, because the template drops it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, encoder: Encoder, source: str) -> None:
        self._encoder = encoder
        self.source = source
        self.jinja = Jinja(tokenizer, source)
        self.endings = Endings(self.jinja, encoder, str(tokenizer.eos_token or ""))
        self.tags = tuple(tag for tag in ANSWER_TAGS if tag in source)
        self._locator = Locator(self.jinja, self.endings, self.tags)
        self._shapes: dict[tuple[Dialogue, bool], _Laid] = {}
        self.left_out: Counter[str] = Counter()

    def render(self, dialogues: Sequence[Dialogue]) -> list[str]:
        """Each dialogue as the template writes it.

        Raises:
            InputError: the template refuses one, or has no place for its calls or tools.
        """
        return self.jinja.texts(dialogues)

    def layout(self, dialogue: Dialogue, rendered: str) -> list[Piece]:
        """`rendered` in pieces.

        Raises:
            InputError: an unknown role, or the template changes or leaves out a content.
        """
        shape, contents = shape_of(dialogue, self.tags, self._encoder.pattern)
        return self._fill(shape, contents, rendered, prompt=False)

    def prompt_layout(self, dialogue: Dialogue) -> list[Piece]:
        """The pieces before an answer that is still to come: the beginning of `layout` for any plain answer.

        This is the template's generation prompt wherever its finished answers begin like that. Where they do not (a
        prompt that opens reasoning which finished answers leave out) it is all that a finished answer has before its
        content.
        """
        number = len(dialogue.turns)
        answer = Message("assistant", word(number, 0))
        shape, contents = shape_of(dialogue, self.tags, self._encoder.pattern)
        contents[number, 0] = answer.content
        rendered = self.jinja.text(dialogue.with_turn(number, answer))
        pieces = self._fill(shape.with_turn(number, answer), contents, rendered, prompt=True)
        return list(takewhile(lambda piece: piece.turn != number, pieces))

    def laid(self, shape: Dialogue) -> tuple[tuple[Piece, ...], str]:
        """The pieces of a shape's rendering, and which text at their end the template itself leaves out.

        Raises:
            InputError: the template refuses the shape, or leaves out a turn.
        """
        laid = self._laid(shape, prompt=False)
        return laid.pieces, laid.added

    def sought(self, shape: Dialogue) -> set[str] | None:
        """Strings that change what the template writes where one stands in a content; None where more may change it."""
        return self.jinja.sought(shape)

    @cached_property
    def around(self) -> tuple[str, str]:
        """What a generated answer has before its content (such as an empty reasoning block), and after it, less the
        token that stops it.
        """
        turns = Dialogue((Message("user", word(0, 0)), Message("assistant", word(1, 0))))
        answer = [piece for piece in self.layout(turns, self.jinja.text(turns)) if piece.turn == 1]
        if answer[-1].control:
            answer.pop()
        before, _, after = "".join(piece.text for piece in answer).partition(word(1, 0))
        return before, after

    def _fill(self, shape: Dialogue, contents: Mapping[Slot, str], rendered: str, *, prompt: bool) -> list[Piece]:
        for _ in range(2):
            laid = self._laid(shape, prompt=prompt)
            texts = match(laid.pieces, contents, rendered + laid.added)
            if texts is not None:
                self.left_out["reasoning"] += len(laid.lost) if not prompt else 0
                both = zip(laid.pieces, texts, strict=True)
                return [piece if piece.slot is None else replace(piece, text=text) for piece, text in both]
            self._shapes.pop((shape, prompt), None)  # a template may write the date: look again before giving up
        raise InputError(
            "the chat template changes a turn's text, so what to learn from cannot be found in its output",
            fix="take out the control words in the turn's text, or give another template",
        )

    def _laid(self, shape: Dialogue, *, prompt: bool) -> _Laid:
        known = self._shapes.get((shape, prompt))
        if known is None:
            if len(self._shapes) >= _KEPT_SHAPES:
                self._shapes.clear()
            known = self._shapes[shape, prompt] = self._compile(shape, prompt=prompt)
        return known

    def _compile(self, shape: Dialogue, *, prompt: bool) -> _Laid:
        text, added = self.jinja.text(shape), ""
        slots = slots_in(text)
        lost = _lost(shape, {slot for _, _, slot in slots})
        self._refuse_lost_tools(shape, text)
        turns = [turn for n in range(len(shape.turns)) if (turn := self._locator.turn(shape, n, text, slots))]
        last = turns[-1] if turns else None
        open_end = last is not None and last.answer and last.end == last.last and last.message == len(shape.turns) - 1
        if open_end and not prompt:
            added = self._closing(turns[-1])
            text += added
            turns[-1] = replace(turns[-1], end=len(text))
        return _Laid(tuple(self._cut(text, slots, turns)), added, lost)

    def _refuse_lost_tools(self, shape: Dialogue, text: str) -> None:
        if shape.tools and text == self.jinja.text(Dialogue(shape.turns)):
            raise InputError("the chat template leaves out the tools", fix="choose a model whose template knows tools")

    def _closing(self, turn: Turn) -> str:
        """What ends the last answer where the template writes nothing: else the model would never learn to stop."""
        closing = (turn.calls and self.endings.of_calls.missing) or self.endings.closing
        if not closing:
            raise InputError(
                "neither the chat template nor the tokenizer has a token that ends an answer",
                fix="give the tokenizer an eos_token",
            )
        return closing

    def _cut(self, text: str, slots: list[tuple[int, int, Slot]], turns: list[Turn]) -> list[Piece]:
        starts = {start: slot for start, _, slot in slots}
        borders = {0, len(text)}
        borders.update(edge for start, end, _ in slots for edge in (start, end))
        borders.update(edge for turn in turns for edge in (turn.start, turn.first, turn.last, turn.end))
        cuts = {edge for turn in turns if turn.answer for edge in (turn.start, turn.end)}
        edges = sorted(edge for edge in borders if edge <= len(text))
        pieces: list[Piece] = []
        for left, right in pairwise(edges):
            turn = next((turn for turn in turns if turn.start <= left < turn.end), None)
            base = Piece(
                text[left:right],
                turn=turn.message if turn else -1,
                content=turn is not None and turn.first <= left < turn.last,
                cut=left in cuts,
                slot=starts.get(left),
            )
            if base.slot is not None:
                pieces.append(base)
                continue
            for number, (part, control) in enumerate(self._encoder.split(base.text)):
                pieces.append(replace(base, text=part, control=control, cut=base.cut and number == 0))
        return pieces


def _lost(shape: Dialogue, found: set[Slot]) -> tuple[Slot, ...]:
    """The reasonings of earlier answers that the template leaves out.

    Raises:
        InputError: it leaves out a turn, a call or the reasoning of the last answer, all of which would be lost data.
    """
    lost: list[Slot] = []
    for number, turn in enumerate(shape.turns):
        last_answer = turn.role == "assistant" and number == len(shape.turns) - 1
        said = {slot for _, _, slot in slots_in(turn.content)}
        thought = {slot for _, _, slot in slots_in(turn.reasoning)}
        called = {slot for call in turn.calls for _, _, slot in slots_in(call.arguments)}
        what = ""
        if (said and not said & found) or called - found:
            what = f"turn {number + 1} ({turn.role})" if not called - found else f"a call of turn {number + 1}"
        elif last_answer and (said | thought) - found:
            what = "the reasoning of the last answer"
        if what:
            raise InputError(
                f"the chat template leaves out {what}", fix="take it out of the data, or give another template"
            )
        lost += sorted((said | thought) - found)
    return tuple(lost)
