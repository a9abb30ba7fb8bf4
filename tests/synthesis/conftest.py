"""A scripted endpoint, and jobs that talk to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from affinage.generation import pauses
from affinage.generation.chats import ChatSettings
from affinage.generation.endpoint import Endpoint
from affinage.generation.remote import RemoteGenerator
from affinage.synthesis.asking import Asker
from affinage.synthesis.costs import Meter, Prices
from affinage.synthesis.journal import Journal
from tests.synthesis.server import ChatServer, Script, good_teacher

Serve = Callable[..., ChatServer]
MakeAsker = Callable[..., Asker]
SETTINGS = ChatSettings(max_tokens=200)
FREE = Prices()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.01)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start an endpoint; it is stopped after the test."""
    with ExitStack() as stack:

        def start(script: Script = good_teacher, **options: object) -> ChatServer:
            return stack.enter_context(ChatServer(script, **options))  # type: ignore[arg-type]

        yield start


@pytest.fixture
def make_asker(tmp_path: Path) -> Iterator[MakeAsker]:
    """An asker of an endpoint with a journal on disk; called again it finds the same journal."""
    journals: list[Journal] = []

    def make(url: str, *, budget: float | None = None, prices: Prices = FREE, **options: object) -> Asker:
        for journal in journals:
            journal.close()
        journals.append(journal := Journal(tmp_path / "calls.journal"))
        retries = options.pop("retries", 2)
        teacher = RemoteGenerator(Endpoint(url), "scripted", retries=retries, timeout=5.0)  # type: ignore[arg-type]
        meter = Meter(prices, budget, journal.used())
        return Asker(teacher, journal, meter, stop=teacher.stop, **options)  # type: ignore[arg-type]

    yield make
    for journal in journals:
        journal.close()
