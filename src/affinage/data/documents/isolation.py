"""Reading in a process of its own, with bounds on time and memory: a hostile file costs itself, and nothing else."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from affinage.data.documents.document import Document, DocumentError
from affinage.data.documents.limits import Limits
from affinage.data.documents.worker import LENGTH
from affinage.data.ledger import Drop
from affinage.data.records import Source
from affinage.errors import RunError

# A fresh interpreter, not multiprocessing: that would run the caller's main script a second time.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from affinage.data.documents.worker import main; main(sys.argv[2])"
)
_STARTING = 120  # seconds


class Worker:
    """One process that reads documents, started when it is first needed and again after it had to be killed.

    Used as a context manager.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._process: subprocess.Popen[bytes] | None = None
        self._replies: queue.Queue[bytes | None] = queue.Queue()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def read(self, path: str) -> list[Document | Drop]:
        """The documents of a file, as `reading.read_documents`.

        Raises:
            DocumentError: as `read_documents`, or the process took too long, too much memory, or crashed.
            RunError: no process can be started.
        """
        process = self._running()
        seconds = self.limits.seconds_for(_size(path))
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps({"path": path, "seconds": seconds}).encode("ascii") + b"\n")
            process.stdin.flush()
            raw = self._replies.get(timeout=seconds)
        except queue.Empty:
            self.stop()
            raise DocumentError(
                f"{path}: reading it took longer than {seconds:.0f} seconds and was stopped",
                fix="open it and save it again, or split it",
            ) from None
        except OSError:
            raw = None
        if raw is None:
            raise self._crashed(path)
        reply = json.loads(raw)
        if "error" in reply:
            raise DocumentError(reply["error"], fix=reply["fix"], reason=reply["reason"])
        return [_item(item, path) for item in reply["found"]]

    def stop(self) -> None:
        """Kill the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # what was still to be written can no longer be
                    continue

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.stop()
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps(sys.path), json.dumps(asdict(self.limits))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise RunError(f"cannot start a process to read documents: {error.strerror}") from None
        self._process = process
        self._replies = queue.Queue()
        assert process.stdout is not None
        threading.Thread(target=_listen, args=(process.stdout, self._replies), daemon=True).start()
        try:
            ready = self._replies.get(timeout=_STARTING)
        except queue.Empty:
            ready = None
        if ready is None:
            self.stop()
            raise RunError("the process that reads documents does not start", fix="is there memory left for it?")
        return process

    def _crashed(self, path: str) -> DocumentError:
        process = self._process
        code = process.wait() if process is not None else 0
        self.stop()
        names = {-number: number.name for number in signal.Signals}
        how = f"ended by {names[code]}" if code in names else f"ended with code {code}"
        return DocumentError(
            f"{path}: reading it took more than the memory or time allowed, or broke the reader ({how})",
            fix="open it and save it again, or leave it out",
        )


def _listen(stream: BinaryIO, replies: queue.Queue[bytes | None]) -> None:
    """Whole replies as they come, None at the end of the stream."""
    try:
        while len(head := stream.read(LENGTH.size)) == LENGTH.size:
            (length,) = LENGTH.unpack(head)
            raw = stream.read(length)
            if len(raw) < length:
                break
            replies.put(raw)
    except (OSError, ValueError):  # closed under the reader's hands
        pass
    replies.put(None)


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _item(item: dict[str, Any], path: str) -> Document | Drop:
    if "document" in item:
        return Document.from_json(item["document"])
    return Drop(item["reason"], Source(path, item["locator"]), item["detail"])
