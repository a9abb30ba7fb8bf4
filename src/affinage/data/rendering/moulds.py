"""Shapes of plain chats with the template's own text tokenised once: a row is then its contents, put into the gaps.

A chat is plain where its turns have contents alone (no calls, reasoning or tools) without white space around them. The
template is called again for each row unless it was watched joining contents into its text and nothing else (see
`watching`), and then for those rows whose contents hold what it looks for, or the beginning of a control token.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import numpy as np

from affinage.data.records import Message
from affinage.data.rendering import segments
from affinage.data.rendering.encoding import Encoder
from affinage.data.rendering.segments import Draft, Parts, Run
from affinage.data.rendering.shapes import WORD, Dialogue, Piece, word
from affinage.data.rendering.templates import ChatTemplate
from affinage.errors import InputError

_KEPT = 2048  # moulds

Key = tuple[tuple[str, ...], frozenset[int]]
"""Roles of the turns, and the numbers of those that are learned from."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A run of text: literal parts and, as numbers, the turns whose contents stand between them."""

    parts: tuple[str | int, ...]
    bare: bool
    learned: bool

    def text(self, contents: Sequence[str]) -> str:
        """The run with the contents in it."""
        return "".join([part if type(part) is str else contents[part] for part in self.parts])  # type: ignore[index]


@dataclass(frozen=True, slots=True)
class Fixed:
    """Token ids (packed) that every row of the mould has."""

    ids: bytes
    learned: bool


@dataclass(frozen=True, slots=True)
class Mould:
    """One shape.

    Attributes:
        pieces: the shape's pieces, as the template lays them out.
        start: the run before them, where the template writes no BOS.
        learned: numbers of the learned turns; `told` are those of them that the template writes apart.
        added: the text at the end that the template itself leaves out.
        steps: the row from its beginning to its end; `gaps` are those of them with contents.
        sought: strings that change what the template writes, None where it must be asked for each row.
    """

    pieces: tuple[Piece, ...]
    start: tuple[Run, ...]
    learned: frozenset[int]
    told: tuple[int, ...]
    added: str
    steps: tuple[Gap | Fixed, ...]
    gaps: tuple[Gap, ...]
    sought: tuple[str, ...] | None

    def text(self, contents: Sequence[str]) -> str:
        """The chat as the template writes it if it does no more than join."""
        whole = "".join([piece.text if piece.slot is None else contents[piece.slot[0]] for piece in self.pieces])
        return whole[: len(whole) - len(self.added)]

    def parts(self, contents: Sequence[str], encoder: Encoder) -> Parts:
        """The runs that a row is made of, for one that is cut."""
        filled = [
            piece if piece.slot is None else replace(piece, text=contents[piece.slot[0]]) for piece in self.pieces
        ]
        runs = [*self.start, *segments.cut(filled, self.learned, encoder)]
        return runs, [
            1 if run.control is not None else len(encoder.encode([run.text], bare=run.bare)[0]) for run in runs
        ]

    def sure(self, contents: Sequence[str]) -> bool:
        """Whether the template need not be asked."""
        if self.sought is None:
            return False
        for content in contents:  # spelt out, as this runs for every row
            for part in self.sought:
                if part in content:
                    return False
        return True


class Moulds:
    """Moulds by roles and learned turns; `start` is the run before each chat whose template writes no BOS."""

    def __init__(self, template: ChatTemplate, encoder: Encoder, start: Run | None) -> None:
        self._template = template
        self._encoder = encoder
        self._start = start
        self._known: dict[Key, Mould | None] = {}
        self._tags = template.tags
        self._risky = {token[0] for token in encoder.control} | {"zqv"} | ({"<"} if template.tags else set())

    def find(self, turns: Sequence[Message], learned: Collection[int]) -> Mould | None:
        """The mould for a plain chat, None for any other and for one that the template does not take."""
        for turn in turns:
            content = turn.content
            if not content or content[0].isspace() or content[-1].isspace():
                return None
            if turn.calls or turn.reasoning or turn.name or turn.call:
                return None
            if turn.role == "assistant" and any([tag in content for tag in self._tags]):  # noqa: C419 - for every row
                return None
        key = (tuple([turn.role for turn in turns]), frozenset(learned))
        if key not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[key] = self._made(*key)
        return self._known[key]

    def _made(self, roles: tuple[str, ...], learned: frozenset[int]) -> Mould | None:
        shape = Dialogue(tuple(Message(role, word(number, 0)) for number, role in enumerate(roles)))
        try:
            pieces, added = self._template.laid(shape)
        except InputError:
            return None  # the row's own layout will say why, with its place
        slots = [piece.slot for piece in pieces if piece.slot is not None]
        if slots != [(number, 0) for number in range(len(roles))]:
            return None
        runs = segments.cut(pieces, learned, self._encoder)
        own = runs[0].control if runs else None
        start = () if self._start is None or own == self._start.control else (self._start,)
        steps = [self._step(run) for run in (*start, *runs)]
        if None in steps:
            return None
        row = _merged([step for step in steps if step is not None])
        told = tuple(sorted(piece.turn for piece in pieces if piece.slot and piece.turn in learned))
        sought = self._template.sought(shape)
        return Mould(
            tuple(pieces), start, learned, told, added, row, tuple(step for step in row if isinstance(step, Gap)),
            None if sought is None else tuple(sorted({*sought, *self._risky})),
        )  # fmt: skip

    def _step(self, run: Run) -> Gap | Fixed | None:
        """None for a run that is learned from in part: which tokens then depends on the contents."""
        flags = {span.learned for span in run.spans if span.end > span.start}
        if len(flags) > 1:
            return None
        learned = True in flags
        if run.control is not None:
            return Fixed(np.array([run.control], np.int32).tobytes(), learned)
        parts: list[str | int] = []
        position = 0
        for found in WORD.finditer(run.text):
            parts += [run.text[position : found.start()], int(found[1])]
            position = found.end()
        parts.append(run.text[position:])
        kept = tuple(part for part in parts if part != "")
        if all(isinstance(part, str) for part in kept):
            return Fixed(self._encoder.packed([run.text], bare=run.bare)[0], learned)
        return Gap(kept, run.bare, learned)


def pour(filled: Sequence[tuple[Mould, list[str]]], encoder: Encoder) -> list[Draft]:
    """The draft of each chat that a mould and contents make; equal texts are encoded once, all in one call."""
    texts: dict[bool, dict[str, bytes]] = {False: {}, True: {}}
    wanted: list[list[str]] = []
    for mould, contents in filled:
        gaps = [gap.text(contents) for gap in mould.gaps]
        wanted.append(gaps)
        for gap, text in zip(mould.gaps, gaps, strict=True):
            texts[gap.bare][text] = b""
    for bare, known in texts.items():
        known.update(zip(known, encoder.packed(list(known), bare=bare), strict=True))
    drafts = []
    for (mould, contents), gaps in zip(filled, wanted, strict=True):
        waiting = iter(gaps)
        packed = [step.ids if isinstance(step, Fixed) else texts[step.bare][next(waiting)] for step in mould.steps]
        drafts.append(_poured(mould, contents, packed, encoder))
    return drafts


def _poured(mould: Mould, contents: list[str], packed: list[bytes], encoder: Encoder) -> Draft:
    ids = np.frombuffer(bytearray().join(packed), np.int32)  # a bytearray, as rows may be written to
    weights = np.zeros(len(ids), np.float32)
    start = 0
    for step, part in zip(mould.steps, packed, strict=True):
        end = start + len(part) // ids.itemsize
        if step.learned:
            weights[start:end] = 1.0
        start = end
    weights[:1] = 0.0
    size = 0
    for turn in mould.told:
        content = contents[turn]
        size += len(content) if content.isascii() else len(content.encode())
    return Draft(ids, weights, size, partial(mould.parts, contents, encoder))


def _merged(steps: Sequence[Gap | Fixed]) -> tuple[Gap | Fixed, ...]:
    """Neighbouring fixed steps of the same kind put together."""
    merged: list[Gap | Fixed] = []
    for (fixed, learned), some in groupby(steps, lambda step: (isinstance(step, Fixed), step.learned)):
        if fixed:
            merged.append(Fixed(b"".join(step.ids for step in some if isinstance(step, Fixed)), learned))
        else:
            merged += some
    return tuple(merged)
