"""A small server that speaks `/v1/chat/completions` for real; what it says is scripted.

As a process of its own: `python -m tests.synthesis.server LOG [DELAY]` prints its URL, and writes each request that it
has answered to LOG, one line of JSON each.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Body = dict[str, Any]
WORDS = re.findall(
    r"\w+",
    "river lantern copper village harvest winter compass garden engine novel bridge kettle orchard signal marble "
    "tunnel feather harbour violin pepper desert ladder mirror candle thunder forest island pencil saddle window",
)
VERBS = ("Explain", "Describe", "Summarise", "Compare", "Rewrite", "Translate", "List", "Classify", "Invent", "Justify")


@dataclass
class Said:
    """One response. `usage` None leaves it out; `raw` replaces the whole body."""

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    finish: str = "stop"
    usage: tuple[int, int] | None = (100, 20)
    delay: float = 0.0
    raw: bytes | None = None
    error: dict[str, Any] | None = None


Script = Callable[[Body, int], Said | str]
"""From a request and how many came before it to what is said."""


class ChatServer:
    """Serves on a free port of the loopback until the `with` ends."""

    def __init__(self, script: Script, *, models: tuple[str, ...] = ("scripted",), log: Path | None = None) -> None:
        self.script = script
        self.models = models
        self.log = log
        self.requests: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.running = self.most_running = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def counts(self) -> Counter[str]:
        """How often each request came, by its content."""
        return Counter(key_of(body) for body in self.requests)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        chats = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in chats.models]}
                self._send(200, json.dumps(listed).encode(), {})

            def do_POST(self) -> None:
                body: Body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                said = chats._take(body, {name.lower(): value for name, value in self.headers.items()})
                time.sleep(said.delay)
                chats._done(body, said)
                self._send(said.status, _encoded(said, body), said.headers)

            def _send(self, status: int, raw: bytes, headers: dict[str, str]) -> None:
                try:
                    self.send_response(status)
                    for name, value in {"Content-Type": "application/json", **headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(raw)))
                    self.end_headers()
                    self.wfile.write(raw)
                except OSError:  # the other side has gone
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                return

        return Handler

    def _take(self, body: Body, headers: dict[str, str]) -> Said:
        with self._lock:
            number = len(self.requests)
            self.requests.append(body)
            self.headers.append(headers)
            self.times.append(time.monotonic())
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        said = self.script(body, number)
        return Said(said) if isinstance(said, str) else said

    def _done(self, body: Body, said: Said) -> None:
        with self._lock:
            self.running -= 1
            if self.log is not None and said.status == 200:
                with self.log.open("a") as file:
                    file.write(json.dumps({"key": key_of(body)}) + "\n")


def key_of(body: Body) -> str:
    """A name for everything that a request says."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def prompt_of(body: Body) -> str:
    text: str = body["messages"][-1]["content"]
    return text


def _encoded(said: Said, body: Body) -> bytes:
    if said.raw is not None:
        return said.raw
    if said.status != 200:
        return json.dumps({"error": said.error or {"message": "scripted trouble", "type": "scripted"}}).encode()
    message = {"role": "assistant", "content": said.text}
    answer: dict[str, Any] = {
        "id": "chat-1", "object": "chat.completion", "created": 1, "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": said.finish}],
    }  # fmt: skip
    if said.usage is not None:
        read, written = said.usage
        answer["usage"] = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    return json.dumps(answer).encode()


def good_teacher(body: Body, number: int = 0) -> str:
    """A teacher that keeps to every form; what it says depends on the request alone."""
    asked = prompt_of(body)
    draw = random.Random(key_of(body))
    data = re.findall(r"<(DATA-\w+)>\n(.*?)\n</\1>", asked, re.DOTALL)
    if '{"instructions"' in asked:
        return json.dumps({"instructions": [_sentence(draw) for _ in range(8)]})
    if '{"classification"' in asked:
        return json.dumps({"classification": data[-1][1].startswith("Classify")})
    if '"labels"' in asked:
        return json.dumps({"labels": ["good", "bad"], "output": "good", "input": f"The {_some(draw, 5)}."})
    if '{"input"' in asked:
        return json.dumps({"input": f"The {_some(draw, 4)}.", "output": f"It is about the {_some(draw, 6)}."})
    if '{"pairs"' in asked:
        return json.dumps({"pairs": [_pair(data[0][1], draw) for _ in range(3)]})
    if '{"instruction"' in asked:
        return json.dumps({"instruction": _sentence(draw)})
    if '{"equal"' in asked:
        return json.dumps({"equal": False})
    if '"score"' in asked:
        return json.dumps({"reason": "so it seems", "score": min(10, 1 + len(data[1][1]) // 12)})
    if '"better"' in asked:  # the longer one
        return json.dumps({"reason": "longer", "better": "A" if len(data[1][1]) >= len(data[2][1]) else "B"})
    if '{"critique"' in asked:
        return json.dumps({"critique": f"It forgets the {_some(draw, 2)}.", "sound": False})
    return f"An answer about the {_some(draw, draw.randrange(4, 12))}."


def _some(draw: random.Random, count: int) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(count))


def _sentence(draw: random.Random) -> str:
    return f"{draw.choice(VERBS)} the {_some(draw, 8)}."


def _pair(passage: str, draw: random.Random) -> dict[str, str]:
    words = passage.split()
    start = draw.randrange(max(1, len(words) - 8))
    quote = " ".join(words[start : start + 8])
    return {"question": f"What is said of the {_some(draw, 6)}?", "answer": f"That {quote}.", "quote": quote}


if __name__ == "__main__":
    slow = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    with ChatServer(lambda body, number: Said(good_teacher(body), delay=slow), log=Path(sys.argv[1])) as served:
        print(served.url, flush=True)
        sys.stdin.read()
