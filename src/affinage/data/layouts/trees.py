"""Trees of replies, as people's conversations are collected: each message holds the `replies` to it, some ranked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Node = Mapping[str, Any]


def replies(node: Node) -> list[Node]:
    """The replies to a message, best rank first, those without a rank last; deleted ones are left out."""
    found = node.get("replies")
    kept = [reply for reply in found if isinstance(reply, Mapping)] if isinstance(found, list) else []
    return sorted((reply for reply in kept if not reply.get("deleted")), key=_rank)


def rank(node: Node) -> int | None:
    """A reply's rank, 0 the best, where people gave one."""
    value = node.get("rank")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def best_path(node: Node) -> list[Node]:
    """The conversation in which each message is the best reply to the one before."""
    path = [node]
    while following := replies(path[-1]):
        path.append(following[0])
    return path


def paths(root: Node) -> Iterator[list[Node]]:
    """Each conversation from the root to a message that has replies, the message being its last."""
    waiting: list[list[Node]] = [[root]]
    while waiting:
        path = waiting.pop()
        following = replies(path[-1])
        if following:
            yield path
        waiting += [[*path, reply] for reply in reversed(following)]


def _rank(node: Node) -> float:
    value = rank(node)
    return float("inf") if value is None else float(value)
