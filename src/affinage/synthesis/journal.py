"""Every answer that was paid for, on disk before it is used: a job that is killed asks for nothing twice."""

from __future__ import annotations

import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from affinage.errors import InputError
from affinage.files import writing


@dataclass(frozen=True, slots=True)
class Entry:
    """One finished call.

    Attributes:
        key: the content hash of the request.
        counted: whether the endpoint told the tokens; else they are an upper bound.
        time: when the answer came, ISO 8601 in UTC.
    """

    key: str
    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    counted: bool
    model: str
    time: str


class Journal:
    """JSON lines, one for each finished call, written through to the disk; a torn last line is cut off.

    Only hashes of requests stand in it, not their text. One process at a time may hold it.

    Raises:
        InputError: the file is damaged, cannot be written, or another process works with it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        if not path.parent.is_dir():
            raise InputError(f"{path.parent}: no such folder", fix="make it first, or name another --out")
        with writing(path):
            self._file = path.open("ab+")
        self._hold()
        self._entries = self._read()
        self.found = len(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def used(self) -> tuple[int, int, int]:
        """Tokens read and written by all calls that stand in it, and how many of these calls told no usage."""
        entries = self._entries.values()
        return (
            sum(entry.prompt_tokens for entry in entries),
            sum(entry.completion_tokens for entry in entries),
            sum(not entry.counted for entry in entries),
        )

    def get(self, key: str) -> Entry | None:
        """What was answered to this request before."""
        return self._entries.get(key)

    def add(self, entry: Entry) -> None:
        """Write one call through to the disk."""
        line = orjson.dumps(asdict(entry), option=orjson.OPT_APPEND_NEWLINE)
        with self._lock, writing(self.path):
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._entries[entry.key] = entry

    def close(self) -> None:
        """Let another process have it; an empty file is taken away."""
        with writing(self.path):
            if not self._entries and self.path.exists():
                self.path.unlink()
            self._file.close()

    def _hold(self) -> None:
        try:
            import fcntl
        except ImportError:  # no such locks on Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise InputError(
                f"{self.path}: another process works with it", fix="wait for it, or name another --out"
            ) from None

    def _read(self) -> dict[str, Entry]:
        """All whole lines; what follows the last line end is cut off on disk as well."""
        with writing(self.path):
            self._file.seek(0)
            raw = self._file.read()
            whole = raw[: raw.rfind(b"\n") + 1]
            if len(whole) < len(raw):
                self._file.truncate(len(whole))
        entries: dict[str, Entry] = {}
        for number, line in enumerate(whole.splitlines(), start=1):
            entry = _entry(line)
            if entry is None:
                raise InputError(
                    f"{self.path}:{number}: not an entry of a journal",
                    fix="name another --out, or move the file away (its calls are then paid again)",
                )
            entries[entry.key] = entry
        return entries


def _entry(line: bytes) -> Entry | None:
    kinds: dict[str, Any] = {
        "key": str, "text": str, "finish": str, "prompt_tokens": int, "completion_tokens": int, "counted": bool,
        "model": str, "time": str,
    }  # fmt: skip
    try:
        values = orjson.loads(line)
        whole = isinstance(values, dict) and all(isinstance(values.get(name), kind) for name, kind in kinds.items())
        return Entry(**values) if whole else None
    except (orjson.JSONDecodeError, TypeError):
        return None
