"""Pauses between the tries of a request, kept by all threads that ask one server."""

from __future__ import annotations

import email.utils
import random
import threading
import time
from typing import Any

from affinage.errors import RunError

FIRST_PAUSE = 0.5  # seconds; doubled at every further try
LONGEST_PAUSE = 60.0  # seconds, where the server does not ask for more
LONGEST_ASKED = 600.0  # seconds that a server may ask to wait; beyond that the work is better taken up later


class Pauses:
    """Pauses that double; one that the server asks for holds for all threads, so that a limit is not met again and again.

    Args:
        host: for messages.
        stop: set to end all waiting at once.

    Attributes:
        count: pauses so far.
    """

    def __init__(self, host: str, stop: threading.Event) -> None:
        self.host = host
        self.stop = stop
        self.count = 0
        self._lock = threading.Lock()
        self._free_at = 0.0  # on the monotonic clock: nobody asks before

    def wait(self) -> None:
        """Until the server may be asked."""
        while not self.stop.is_set() and (left := self._free_at - time.monotonic()) > 0:
            self.stop.wait(left)

    def rest(self, tries: int, asked: float | None) -> None:
        """The pause after that many failed tries, at least the `asked` seconds.

        Raises:
            RunError: the server asks for a very long pause.
        """
        if asked is not None and asked > LONGEST_ASKED:
            raise RunError(f"{self.host} asks to wait {asked:,.0f} s", fix="give the same command again after that")
        # the jitter keeps several threads from coming back at one moment
        own = min(FIRST_PAUSE * 2 ** (tries - 1), LONGEST_PAUSE) * random.uniform(0.75, 1.25)
        seconds = max(own, asked or 0.0)
        with self._lock:
            self.count += 1
            if asked is not None:
                self._free_at = max(self._free_at, time.monotonic() + seconds)
        self.stop.wait(seconds)


def retry_after(headers: Any) -> float | None:
    """Seconds that a response asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, TypeError, OverflowError):
                continue
        if seconds == seconds:  # a number
            return max(0.0, seconds)
    return None
