"""A row that becomes no record, and how its values are named to a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class BadRowError(Exception):
    """A row that becomes no record: its reason code and what a person should know."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def kind_of(value: Any) -> str:
    """What a value is, in a person's words."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return f"an object with {', '.join(str(key)[:40] for key in list(value)[:6]) or 'no keys'}"
    names = {str: "text", bool: "true/false", int: "a number", float: "a number", list: "a list", bytes: "bytes"}
    return names.get(type(value), type(value).__name__)
