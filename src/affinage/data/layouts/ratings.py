"""Ratings out of the values of one row, once its layout is known."""

from __future__ import annotations

from affinage.data.layouts import columns as col
from affinage.data.layouts import judged
from affinage.data.layouts.bad_row import BadRowError, kind_of
from affinage.data.layouts.build import Asked, with_system
from affinage.data.layouts.columns import Values
from affinage.data.layouts.completions import answered
from affinage.data.layouts.turns import check_order, parse_turns
from affinage.data.records import Message, Rated, Record, Source


def make_rated(asked: Asked, response: str, rating: str, thumbs: bool, values: Values, source: Source) -> Record:
    """A prompt, one completion, and its thumb or score."""
    score = _score(values, rating, thumbs)
    messages, completions = answered(asked, None, {response: col.get(values, response)}, values)
    return Rated(messages=messages, completion=completions[0], score=score, source=source)


def make_rated_chat(
    column: str, system: str | None, rating: str, thumbs: bool, values: Values, source: Source
) -> Record:
    """A chat whose last answer has a thumb or a score."""
    score = _score(values, rating, thumbs)
    turns = with_system(parse_turns(col.get(values, column), column), values, system)
    check_order(turns)
    last: Message = turns[-1]
    if last.role != "assistant":
        raise BadRowError("empty-response", "the chat does not end with an answer")
    return Rated(messages=tuple(turns[:-1]), completion=last, score=score, source=source)


def _score(values: Values, column: str, thumbs: bool) -> float | bool:
    value = col.get(values, column)
    if col.is_missing(value) or (isinstance(value, str) and not value.strip()):
        raise BadRowError("empty-label", f"`{column}` is empty")
    found = judged.thumb(value) if thumbs else None if isinstance(value, bool) else col.as_number(value)
    if found is None:
        wanted = "true or false" if thumbs else "a number"
        raise BadRowError("wrong-type", f"`{column}` must be {wanted}, found {kind_of(value)}")
    return found
