"""How a model behind an endpoint wants to be asked: not every one takes every setting."""

from __future__ import annotations

import threading
from typing import Any

from affinage.generation.chats import Request

OPTIONAL = ("temperature", "top_p", "seed", "stop")  # settings that a model may not know; left out when it says so


class Dialect:
    """Requests as bodies of chat completions; learns from refusals. Safe to use from threads.

    Attributes:
        left_out: settings that the model said it does not take.
    """

    def __init__(self) -> None:
        self.left_out: set[str] = set()
        self._limit = "max_tokens"
        self._lock = threading.Lock()

    def body(self, request: Request) -> dict[str, Any]:
        """The request in words that the model takes, as far as is known."""
        settings = request.settings
        wishes = {name: getattr(settings, name) for name in OPTIONAL if name not in self.left_out}
        if not settings.stop:
            wishes.pop("stop", None)
        if settings.top_p == 1:
            wishes.pop("top_p", None)
        turns = [{"role": turn.role, "content": turn.content} for turn in request.messages]
        return {
            "model": request.model, "messages": turns, self._limit: settings.max_tokens,
            **{name: list(value) if isinstance(value, tuple) else value for name, value in wishes.items()},
        }  # fmt: skip

    def adapt(self, error: Any, body: dict[str, Any]) -> bool:
        """Whether the refusal (an `openai.APIStatusError`) names a setting that we can do without; then it goes."""
        said = str(error.message)
        named = str(getattr(error, "param", "") or "")
        with self._lock:
            if self._limit in body and self._limit == "max_tokens" and "max_completion_tokens" in said:
                self._limit = "max_completion_tokens"
                return True
            found = next((name for name in OPTIONAL if name in body and name == named), None)
            if found:
                self.left_out.add(found)
            # another thread may have found out in the meantime
            return bool(found) or bool(self.left_out & body.keys()) or self._limit not in body
