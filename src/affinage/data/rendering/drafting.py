"""Dialogues to drafts: laid out by the chat template, cut where generation starts and stops, encoded together."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from affinage.data.records import Source
from affinage.data.rendering import segments
from affinage.data.rendering.encoding import Encoder
from affinage.data.rendering.moulds import Mould, Moulds, pour
from affinage.data.rendering.segments import Draft, Run
from affinage.data.rendering.shapes import Dialogue
from affinage.data.rendering.templates import ChatTemplate
from affinage.errors import InputError


@dataclass(frozen=True, slots=True)
class Task:
    """A dialogue to draft, the numbers of its turns that are learned from, and the row that an error names."""

    dialogue: Dialogue
    learned: Collection[int]
    source: Source


class Drafter:
    """Encodes dialogues.

    Args:
        template: writes them.
        encoder: encodes what it writes.
        bos: the tokenizer's BOS token with its id, where it puts one before each text: a chat whose template writes
            none gets one, a template that writes its own gets no second one.
    """

    def __init__(self, template: ChatTemplate, encoder: Encoder, bos: tuple[str, int] | None) -> None:
        self._template = template
        self._encoder = encoder
        self._start = None if bos is None else Run(bos[0], (), control=bos[1])
        self._moulds = Moulds(template, encoder, self._start)

    def drafts(self, tasks: Sequence[Task]) -> list[Draft]:
        """A draft of each task.

        Raises:
            InputError: names the first row that the template refuses, or whose text it changes or leaves out.
        """
        with _uncollected():
            return self._drafts(tasks)

    def _drafts(self, tasks: Sequence[Task]) -> list[Draft]:
        poured: dict[int, tuple[Mould, list[str]]] = {}
        asked: list[int] = []
        for number, task in enumerate(tasks):
            dialogue = task.dialogue
            mould = None if dialogue.tools else self._moulds.find(dialogue.turns, task.learned)
            contents = [turn.content for turn in dialogue.turns]
            if mould is not None:
                poured[number] = (mould, contents)
            if mould is None or not mould.sure(contents):
                asked.append(number)
        laid: list[tuple[int, list[Run]]] = []
        for number, text in zip(asked, self._rendered([tasks[number] for number in asked]), strict=True):
            found = poured.get(number)
            if found is None or text != found[0].text(found[1]):
                poured.pop(number, None)
                laid.append((number, self._laid(tasks[number], text)))
        drafts = dict(zip(poured, pour(list(poured.values()), self._encoder), strict=True))
        drafts |= zip((number for number, _ in laid), self._encoded([runs for _, runs in laid]), strict=True)
        return [drafts[number] for number in range(len(tasks))]

    def prompt(self, dialogue: Dialogue) -> list[int]:
        """Token ids after which the answer to `dialogue` begins."""
        pieces = self._template.prompt_layout(dialogue)
        ids: list[int] = self._encoded([segments.cut(pieces, (), self._encoder)])[0].ids.tolist()
        return ids

    def _rendered(self, tasks: Sequence[Task]) -> list[str | None]:
        """What the template writes; None for each where it refuses one, so that the message can name the row."""
        try:
            return list(self._template.render([task.dialogue for task in tasks]))
        except InputError:
            return [None] * len(tasks)

    def _laid(self, task: Task, rendered: str | None) -> list[Run]:
        try:
            text = rendered if rendered is not None else self._template.render([task.dialogue])[0]
            pieces = self._template.layout(task.dialogue, text)
        except InputError as error:
            raise InputError(f"{task.source}: {error.message}", fix=error.fix) from None
        return segments.cut(pieces, task.learned, self._encoder)

    def _encoded(self, runs: Sequence[list[Run]]) -> list[Draft]:
        start = self._start
        if start is not None:
            runs = [chat if chat and chat[0].control == start.control else [start, *chat] for chat in runs]
        return segments.encode(runs, self._encoder)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of reference cycles, which many small objects set off and none of them needs."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
