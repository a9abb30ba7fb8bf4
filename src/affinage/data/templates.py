"""The tokenizer's own chat template, and where in its output each turn's text lies.

Templates strip contents, merge the system text into the first user turn, drop earlier reasoning, add dates, or refuse
some orders of roles, and most mark no answer at all. So each *shape* of conversation is rendered once with unique
words in place of the contents; what lies around the words is the template's own text. A real rendering must then be
exactly that text with the contents (as they are, or stripped) in its gaps, or it is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from affinage.data.encoding import Encoder
from affinage.data.records import Message
from affinage.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}{{ message['content'] + '\\n\\n' }}"
    "{%- elif message['role'] == 'user' -%}{{ '### User:\\n' + message['content'] + '\\n\\n' }}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{{ '### Assistant:\\n' + message['content'] + eos_token + '\\n\\n' }}"
    "{%- else -%}{{ raise_exception('only system, user and assistant turns are known') }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '### Assistant:\\n' }}{%- endif -%}"
)
"""For a base without a template: plain headings, and the end-of-text token (the only control token) after an answer."""

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
"""Known roles. Others are refused: a template pastes the role into its control tokens, so it must not be free text."""

ANSWER_TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>")
"""What a model itself writes inside an answer; a template that names them may treat the text between them apart."""

Shape = tuple[tuple[str, str], ...]
"""Roles and contents of a conversation, unique words standing in for the contents."""

_WORD = re.compile(r"zqv(\d+)x(\d+)vqz")
_KEPT_SHAPES = 2048


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
    slot: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Turn:
    """Positions of one message in the rendered shape: learnable [start, end), content [first, last)."""

    message: int
    start: int
    first: int
    last: int
    end: int
    answer: bool


@dataclass(frozen=True, slots=True)
class _Laid:
    """A rendered shape; `added` is what closes it where the template writes nothing."""

    pieces: tuple[Piece, ...]
    added: str = ""


class ChatTemplate:
    """Lays out conversations by the chat template of `tokenizer`.

    Args:
        tokenizer: writes the chats.
        encoder: knows the control tokens.
        source: the template that `tokenizer` is to use.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, encoder: Encoder, source: str) -> None:
        self._tokenizer = tokenizer
        self._encoder = encoder
        self.source = source
        self._tags = tuple(tag for tag in ANSWER_TAGS if tag in source)
        self._shapes: dict[tuple[Shape, bool], _Laid] = {}

    def render(self, chats: Sequence[Sequence[Message]], *, prompt: bool = False) -> list[str]:
        """Each conversation as the template writes it; `prompt`: with the header of the answer to come.

        Raises:
            InputError: the template refuses a conversation.
        """
        return self._render([[(m.role, m.content) for m in chat] for chat in chats], prompt=prompt)

    def layout(self, messages: Sequence[Message], rendered: str) -> list[Piece]:
        """`rendered` in pieces.

        Raises:
            InputError: an unknown role, or the template changes or leaves out a content.
        """
        shape, contents = self._shape(messages)
        return self._fill(shape, contents, rendered, prompt=False)

    def prompt_layout(self, messages: Sequence[Message]) -> list[Piece]:
        """The pieces before an answer that is still to come: the beginning of `layout` for any plain answer.

        This is the template's generation prompt wherever its finished answers begin like that. Where they do not (a
        prompt that opens reasoning which finished answers leave out) it is all that a finished answer has before its
        content.
        """
        answer = ("assistant", _word(len(messages), 0))
        shape, contents = self._shape(messages)
        if self._opening((*shape, answer), len(messages)) is not None:
            rendered = self.render([messages], prompt=True)[0]
        else:
            turns = [*messages, Message(*answer)]
            rendered = self.render([turns])[0]
            rendered = rendered[: rendered.rindex(answer[1])]
        return self._fill((*shape, answer), contents, rendered, prompt=True)

    @cached_property
    def end_of_turn(self) -> tuple[str, str]:
        """What closes an answer: at the end of a conversation, and when a user turn follows. May be empty strings."""
        for opening in ((), (("system", _word(9, 0)),)):
            chat = (*opening, ("user", _word(0, 0)), ("assistant", _word(1, 0)))
            try:
                last = self._text(chat).split(_word(1, 0))[-1]
                middle = self._text((*chat, ("user", _word(2, 0)))).split(_word(1, 0))[-1].split(_word(2, 0))[0]
            except InputError:
                continue
            shared = self._through_control(_common(last, middle), "last")
            if shared:
                return shared, shared
            return self._through_control(last, "first"), self._through_control(middle, "first")
        return "", ""

    @cached_property
    def around(self) -> tuple[str, str]:
        """What a generated answer has before its content (such as an empty reasoning block), and after it, less the
        token that stops it.
        """
        turns = [Message("user", _word(0, 0)), Message("assistant", _word(1, 0))]
        answer = [piece for piece in self.layout(turns, self.render([turns])[0]) if piece.turn == 1]
        if answer[-1].control:
            answer.pop()
        before, _, after = "".join(piece.text for piece in answer).partition(_word(1, 0))
        return before, after

    @property
    def closing(self) -> str:
        """What ends the last answer of a conversation, also where the template itself writes nothing there."""
        last, middle = self.end_of_turn
        return last or middle or str(self._tokenizer.eos_token or "")

    def _shape(self, messages: Sequence[Message]) -> tuple[Shape, dict[tuple[int, int], str]]:
        shape, contents = [], {}
        for number, message in enumerate(messages):
            if message.role not in ROLES:
                raise InputError(f"unknown role {message.role!r}", fix=f"use one of {', '.join(ROLES)}")
            words = []
            for piece in self._apart(message):
                if piece in self._tags or not piece.strip():
                    words.append(piece)
                    continue
                slot = (number, len(words))
                contents[slot] = piece
                words.append(_word(*slot))
            shape.append((message.role, "".join(words)))
        return tuple(shape), contents

    def _apart(self, message: Message) -> list[str]:
        """The content, for an answer cut at the tags that the template may look for."""
        if message.role != "assistant" or not any(tag in message.content for tag in self._tags):
            return [message.content]
        return re.split("(" + "|".join(map(re.escape, self._tags)) + ")", message.content)

    def _fill(self, shape: Shape, contents: dict[tuple[int, int], str], rendered: str, *, prompt: bool) -> list[Piece]:
        for _ in range(2):
            laid = self._laid(shape, prompt=prompt)
            texts = match(laid.pieces, contents, rendered + laid.added)
            if texts is not None:
                both = zip(laid.pieces, texts, strict=True)
                return [piece if piece.slot is None else replace(piece, text=text) for piece, text in both]
            self._shapes.pop((shape, prompt), None)  # a template may write the date: look again before giving up
        raise InputError(
            "the chat template changes a turn's text, so what to learn from cannot be found in its output",
            fix="take out the control words in the turn's text, or give another template",
        )

    def _laid(self, shape: Shape, *, prompt: bool) -> _Laid:
        known = self._shapes.get((shape, prompt))
        if known is None:
            if len(self._shapes) >= _KEPT_SHAPES:
                self._shapes.clear()
            known = self._shapes[shape, prompt] = self._compile(shape, prompt=prompt)
        return known

    def _compile(self, shape: Shape, *, prompt: bool) -> _Laid:
        text, added = self._text(shape), ""
        slots = [(found.start(), found.end(), (int(found[1]), int(found[2]))) for found in _WORD.finditer(text)]
        self._refuse_loss(shape, {slot for _, _, slot in slots})
        turns = [turn for number in range(len(shape)) if (turn := self._turn(shape, number, text, slots))]
        if prompt:
            text = text[: turns[-1].start]
        elif turns and turns[-1].answer and turns[-1].end == turns[-1].last and turns[-1].message == len(shape) - 1:
            added = self._closing()
            text += added
            turns[-1] = replace(turns[-1], end=len(text))
        return _Laid(tuple(self._cut(text, slots, turns)), added)

    def _closing(self) -> str:
        """What ends the last answer where the template writes nothing: else the model would never learn to stop."""
        if not self.closing:
            raise InputError(
                "neither the chat template nor the tokenizer has a token that ends an answer",
                fix="give the tokenizer an eos_token",
            )
        return self.closing

    def _turn(
        self, shape: Shape, number: int, text: str, slots: list[tuple[int, int, tuple[int, int]]]
    ) -> _Turn | None:
        role, words = shape[number]
        own = [index for index, (_, _, slot) in enumerate(slots) if slot[0] == number]
        if not own:
            return None
        if any(slots[index][2][0] != number for index in range(own[0], own[-1] + 1)):
            raise InputError("the chat template writes a turn's text twice", fix="give another template")
        first, last = slots[own[0]][0], slots[own[-1]][1]
        following = slots[own[-1] + 1][0] if own[-1] + 1 < len(slots) else len(text)
        if role != "assistant":
            ends = [end for end in self.end_of_turn if end and text.startswith(end, last)]
            return _Turn(number, first, first, last, last + len(ends[0]) if ends else last, answer=False)
        first, last = self._with_tags(words, text, first, last)
        opening = self._opening(shape, number)
        start = first if opening is None else opening
        end = last + self._ending(text[last:following])
        return _Turn(number, start, max(first, start), last, end, answer=True)

    def _with_tags(self, words: str, text: str, first: int, last: int) -> tuple[int, int]:
        """The content's span, widened by tags that stand at its very beginning or end."""
        for tag in self._tags:
            if words.lstrip().startswith(tag) and (found := re.search(re.escape(tag) + r"\s*\Z", text[:first])):
                first = found.start()
            if words.rstrip().endswith(tag) and (found := re.match(r"\s*" + re.escape(tag), text[last:])):
                last += found.end()
        return first, last

    def _opening(self, shape: Shape, number: int) -> int | None:
        """Where generation of answer `number` starts: after the generation prompt, if the answer begins like that."""
        if number == 0:
            return None
        try:
            prompt = self._text(shape[:number], prompt=True)
        except InputError:
            return None
        text = self._text(shape)
        found = _WORD.search(text, len(prompt))
        if not text.startswith(prompt) or found is None:
            return None
        if text[len(prompt) : found.start()].strip() and prompt == self._text(shape[:number]):
            return None  # the template knows no generation prompt: the header belongs to the prompt all the same
        return len(prompt)

    def _ending(self, tail: str) -> int:
        """Length of the end of a turn at the beginning of `tail`, what follows an answer's content."""
        for end in self.end_of_turn:
            if end and tail.startswith(end):
                return len(end)
        return len(self._through_control(tail, "first"))

    def _through_control(self, text: str, which: Literal["first", "last"]) -> str:
        found = list(self._encoder.pattern.finditer(text))
        return text[: found[0 if which == "first" else -1].end()] if found else ""

    def _cut(self, text: str, slots: list[tuple[int, int, tuple[int, int]]], turns: list[_Turn]) -> list[Piece]:
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

    def _refuse_loss(self, shape: Shape, found: set[tuple[int, int]]) -> None:
        """A turn that the template leaves out is lost data; only from earlier answers may it take the reasoning."""
        for number, (role, words) in enumerate(shape):
            wanted = {(int(word[1]), int(word[2])) for word in _WORD.finditer(words)}
            last_answer = role == "assistant" and number == len(shape) - 1
            if wanted and (not wanted & found or (last_answer and wanted - found)):
                what = "the reasoning of the last answer" if wanted & found else f"turn {number + 1} ({role})"
                raise InputError(
                    f"the chat template leaves out {what}", fix="take it out of the data, or give another template"
                )

    @cached_property
    def _in_parts(self) -> bool:
        """Whether the template wants contents as lists of typed parts (templates made for several media)."""
        word = _word(0, 0)
        for in_parts in (False, True):
            try:
                if word in self._apply([[("user", word)]], prompt=False, in_parts=in_parts)[0]:
                    return in_parts
            except Exception:  # what a foreign template raises is not known; both forms are tried
                continue
        return False

    def _text(self, shape: Shape, *, prompt: bool = False) -> str:
        return self._render([shape], prompt=prompt)[0]

    def _render(self, chats: Sequence[Sequence[tuple[str, str]]], *, prompt: bool) -> list[str]:
        try:
            return self._apply(chats, prompt=prompt, in_parts=self._in_parts)
        except Exception as error:  # jinja's errors, and whatever a template's own expressions raise
            reason = str(error).strip() or type(error).__name__
            raise InputError(
                f"the chat template refuses the conversation: {reason}",
                fix="change the order or kind of the turns, or give another template",
            ) from None

    def _apply(self, chats: Sequence[Sequence[tuple[str, str]]], *, prompt: bool, in_parts: bool) -> list[str]:
        def wrap(content: str) -> Any:
            return [{"type": "text", "text": content}] if in_parts else content

        conversations = [[{"role": role, "content": wrap(content)} for role, content in chat] for chat in chats]
        rendered = self._tokenizer.apply_chat_template(
            conversations, chat_template=self.source, tokenize=False, add_generation_prompt=prompt
        )
        return [str(text) for text in rendered]


def match(pieces: Sequence[Piece], contents: dict[tuple[int, int], str], rendered: str) -> list[str] | None:
    """The text of each piece such that together they are exactly `rendered`, or None.

    A content stands in the rendering as it is, stripped, or escaped as JSON.
    """
    for change in (str, str.strip):
        texts = [piece.text if piece.slot is None else change(contents[piece.slot]) for piece in pieces]
        if "".join(texts) == rendered:
            return texts
    options = [[piece.text] if piece.slot is None else _forms(contents[piece.slot]) for piece in pieces]
    trail: list[tuple[int, int]] = [(0, 0)]  # per piece: where it starts, which option is to be tried next
    chosen: list[str] = []
    while trail:
        position, option = trail[-1]
        level = len(trail) - 1
        if level == len(options) and position == len(rendered):
            return chosen
        if level == len(options) or option == len(options[level]):
            trail.pop()
            if chosen:
                chosen.pop()
            continue
        trail[-1] = (position, option + 1)
        text = options[level][option]
        if rendered.startswith(text, position):
            chosen.append(text)
            trail.append((position + len(text), 0))
    return None


def _forms(content: str) -> list[str]:
    stripped = (content.strip(), content.strip("\n"), content.lstrip(), content.rstrip())
    more = (content.lstrip("\n"), content.rstrip("\n"), json.dumps(content, ensure_ascii=False)[1:-1])
    return list(dict.fromkeys((content, *stripped, *more)))


def _word(message: int, piece: int) -> str:
    return f"zqv{message}x{piece}vqz"


def _common(one: str, other: str) -> str:
    """The beginning that both share."""
    size = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:size]
