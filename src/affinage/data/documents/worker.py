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
from affinage.data.reading.bounds import hold_memory, hold_time
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
        hold_time(request["seconds"] + _GRACE)
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


def _send(replies: BinaryIO, value: dict[str, Any]) -> None:
    try:
        raw = json.dumps(value).encode("ascii")
    except MemoryError:
        raw = json.dumps(
            {"error": "too large for the memory allowed", "fix": "split the file", "reason": "unreadable"}
        ).encode("ascii")
    replies.write(LENGTH.pack(len(raw)) + raw)
    replies.flush()
