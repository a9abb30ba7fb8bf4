"""One question to the teacher or the judge: replayed from the journal, or sent, paid for and written down."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from affinage.data.records import Message, digest
from affinage.errors import RunError
from affinage.generation.chats import ChatSettings, Generator, NoAnswerError, RefusedError, Reply
from affinage.synthesis.costs import Meter, most_tokens
from affinage.synthesis.failures import CandidateError
from affinage.synthesis.journal import Entry, Journal

FAILURES = 5  # calls in a row that fail before the work is given up


class UnansweredError(CandidateError):
    """A question has no answer. `reason`: `no-answer`, `refused`, or `not-finished` (the work was stopped)."""

    stage = "answer"


@dataclass(frozen=True, slots=True)
class Question:
    """One request.

    Attributes:
        prompt: which prompt of which method, with its version ("qa/pairs/1").
        ordinal: counts equal requests, so that each draws an answer of its own.
    """

    prompt: str
    messages: tuple[Message, ...]
    settings: ChatSettings
    ordinal: int = 0


@dataclass(slots=True)
class Trail:
    """The calls that led to a row, in order, for its lineage."""

    asker: Asker
    calls: list[tuple[Question, Entry, bool]] = field(default_factory=list)

    def ask(self, prompt: str, text: str, settings: ChatSettings, *, ordinal: int = 0, judge: bool = False) -> Entry:
        """The answer to one user turn.

        Raises:
            UnansweredError: there is none.
        """
        return self.converse(prompt, [Message("user", text)], settings, ordinal=ordinal, judge=judge)

    def converse(
        self, prompt: str, turns: Sequence[Message], settings: ChatSettings, *, ordinal: int = 0, judge: bool = False
    ) -> Entry:
        """The answer to a conversation; errors as `ask`."""
        question = Question(prompt, tuple(turns), settings, ordinal)
        entry = self.asker.ask(question, judge=judge)
        self.calls.append((question, entry, judge))
        return entry

    def branch(self) -> Trail:
        """A trail of its own that begins with the calls so far."""
        return Trail(self.asker, list(self.calls))

    def lineage(self) -> dict[str, object]:
        """Model and time of the last call that wrote (judged is something else), and every call's prompt and key."""
        if not self.calls:
            return {}
        writing = [entry for _, entry, judge in self.calls if not judge]
        last = writing[-1] if writing else self.calls[-1][1]
        calls = [
            {"prompt": asked.prompt, "prompt_hash": _hash(asked), "model": got.model, "request": got.key}
            for asked, got, _ in self.calls
        ]
        return {"model": last.model, "time": last.time, "calls": calls}


class Asker:
    """Answers questions from the journal where it can, from the model where it must. Safe to use from threads.

    Args:
        judge: name of the model that judges; the teacher itself when None.
        seed: from which every request's own seed is derived.
        stop: set by whoever wants the work to end; questions that are not yet sent then stay without an answer.

    Attributes:
        trouble: what ended the work, if something did.
    """

    def __init__(
        self, teacher: Generator, journal: Journal, meter: Meter, *, judge: str | None = None, seed: int = 0,
        stop: threading.Event | None = None,
    ) -> None:  # fmt: skip
        self.teacher = teacher
        self.journal = journal
        self.meter = meter
        self.judge = judge
        self.seed = seed
        self.stop = stop or threading.Event()
        self.trouble: Exception | None = None
        self._in_a_row = 0
        self._own: set[str] = set()  # keys of this attempt

    def ask(self, question: Question, *, judge: bool = False) -> Entry:
        """One answer.

        Raises:
            UnansweredError: the request failed or was refused, the budget is spent, or the work is to end.
        """
        model = self.judge if judge and self.judge else self.teacher.model
        settings = replace(question.settings, seed=self._seed(question))
        key = digest([model, [m.says() for m in question.messages], asdict(settings), question.ordinal])
        known = self.journal.get(key)
        if known is not None:
            self._replay(key)
            return known
        if self.stop.is_set():
            raise UnansweredError("not-finished")
        most = most_tokens(question.messages)
        reserved = self.meter.reserve(most, settings.max_tokens)
        if reserved is None:
            raise UnansweredError("not-finished", "the budget is spent")
        entry = None
        try:
            other = None if model == self.teacher.model else [model]
            (reply,) = self.teacher.generate([question.messages], settings, other)
            entry = _entry(key, reply, most, settings.max_tokens)
            self.journal.add(entry)
            self._own.add(key)
            self._in_a_row = 0
            return entry
        except (NoAnswerError, RefusedError) as error:
            self._failed(error)
            reason = "refused" if isinstance(error, RefusedError) else "no-answer"
            raise UnansweredError("not-finished" if self.stop.is_set() else reason, error.message) from None
        except Exception as error:
            self._end(error)
            raise UnansweredError("not-finished", str(error)) from None
        finally:
            used = (entry.prompt_tokens, entry.completion_tokens, entry.counted) if entry else None
            self.meter.settle(reserved, used)

    def _replay(self, key: str) -> None:
        """Count an answer of an earlier attempt once."""
        if key not in self._own:
            self._own.add(key)
            self.meter.replay()

    def _failed(self, error: RunError) -> None:
        self._in_a_row += 1
        # a request may be refused for what it says; when all are, from the first on, something else is wrong
        hopeless = isinstance(error, NoAnswerError) or not len(self.journal)
        if hopeless and self._in_a_row >= FAILURES and not self.stop.is_set():
            fix = "what is finished is kept: when the cause is gone, the same command goes on without paying again"
            self._end(RunError(f"{self._in_a_row} calls in a row have failed; the last: {error.message}", fix=fix))

    def _end(self, error: Exception) -> None:
        if self.trouble is None:
            self.trouble = error
        self.stop.set()

    def _seed(self, question: Question) -> int:
        """31 bits, as endpoints take them."""
        said = [self.seed, question.prompt, [m.says() for m in question.messages], question.ordinal]
        return int(digest(said), 16) & 0x7FFFFFFF


def _entry(key: str, reply: Reply, most_read: int, most_written: int) -> Entry:
    told = reply.prompt_tokens is not None and reply.completion_tokens is not None
    read = reply.prompt_tokens if reply.prompt_tokens is not None else most_read
    written = reply.completion_tokens if reply.completion_tokens is not None else most_written
    return Entry(key, reply.text, reply.finish, read, written, told, reply.model, _now())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _hash(question: Question) -> str:
    return digest([m.says() for m in question.messages])
