"""The process in which documents are read: it may be killed at any time without harm to the one that waits for it.

Requests are lines of JSON on standard input; each reply is its length in 8 bytes and then JSON. Nothing else can reach
the reply channel: whatever a parser prints goes to nowhere.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from typing import Any, BinaryIO

from affinage.data.documents.document import Document, DocumentError
from affinage.data.documents.limits import Limits
from affinage.data.documents.reading import read_documents
from affinage.errors import InputError

LENGTH = struct.Struct("<Q")
_GRACE = 10  # seconds


def main(settings: str) -> None:
    """Answer requests until standard input closes. `settings`: the limits as JSON."""
    limits = Limits(**json.loads(settings))
    replies = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the waiting process decides
    hold_memory(limits.memory)
    _send(replies, {"ready": True})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _hold_time(request["seconds"])
        _send(replies, answer(request["path"], limits))


def answer(path: str, limits: Limits) -> dict[str, Any]:
    """What became of one file."""
    try:
        found = read_documents(path, limits=limits)
    except DocumentError as error:
        return {"error": error.message, "fix": error.fix, "reason": error.reason}
    except InputError as error:
        return {"error": error.message, "fix": error.fix, "reason": "unreadable"}
    return {
        "found": [
            {"document": item.to_json()}
            if isinstance(item, Document)
            else {"reason": item.reason, "locator": item.source.locator, "detail": item.detail}
            for item in found
        ]
    }


def hold_memory(more: int) -> None:
    """No more address space than is in use now and `more` bytes, where the system can hold a process to that."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/statm", encoding="ascii") as sizes:
            used = int(sizes.read().split()[0]) * resource.getpagesize()
    except OSError:  # no Linux: the limit is on the whole
        used = 0
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = used + more if hard == resource.RLIM_INFINITY else min(used + more, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _hold_time(seconds: float) -> None:
    """The system ends this process after that much work, even when no one is left to wait for it."""
    try:
        import resource
    except ImportError:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(usage.ru_utime + usage.ru_stime + seconds) + _GRACE
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _send(replies: BinaryIO, value: dict[str, Any]) -> None:
    try:
        raw = json.dumps(value).encode("ascii")
    except MemoryError:
        raw = json.dumps(
            {"error": "too large for the memory allowed", "fix": "split the file", "reason": "unreadable"}
        ).encode("ascii")
    replies.write(LENGTH.pack(len(raw)) + raw)
    replies.flush()
