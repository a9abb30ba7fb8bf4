"""Preferences out of trees of replies, in which people ranked the answers to a message."""

from __future__ import annotations

from collections.abc import Mapping

from affinage.data.layouts import columns as col
from affinage.data.layouts import judged, trees
from affinage.data.layouts.bad_row import BadRowError, kind_of
from affinage.data.layouts.build import Asked
from affinage.data.layouts.columns import Values
from affinage.data.layouts.preferences import Prompted
from affinage.data.records import Record, Source


def tree_pieces(column: str, values: Values) -> list[Values]:
    """A tree of replies as one piece for each message with two or more ranked answers."""
    root = col.get(values, column)
    if not isinstance(root, Mapping):
        raise BadRowError("wrong-type", f"`{column}` must be a message with replies, found {kind_of(root)}")
    pieces: list[Values] = []
    for path in trees.paths(root):
        ranked = [reply for reply in trees.replies(path[-1]) if trees.rank(reply) is not None]
        if len(ranked) >= 2:
            pieces.append({**values, column: path, "ranked": ranked})
    if not pieces:
        raise BadRowError("not-comparable", f"no message of `{column}` has two ranked replies")
    return pieces


def make_tree(column: str, values: Values, source: Source) -> Record:
    """One message of a tree and its ranked replies; those to an answer are not answers."""
    prompted = Prompted(Asked(column))
    said = {f"reply {place}": dict(reply, replies=[]) for place, reply in enumerate(values["ranked"], start=1)}
    if any(str(reply.get("role")).lower() in ("prompter", "user", "human") for reply in said.values()):
        raise BadRowError("not-comparable", "the ranked replies are a person's, not answers")
    places = [trees.rank(reply) for reply in said.values()]
    ranks = judged.ranks_by([-(place or 0) for place in places])
    return prompted.preference(said, ranks, None, values, source)
