"""The one loop that all methods go through: propose, filter, complete, check, judge, keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from affinage.synthesis.asking import Asker, Trail
from affinage.synthesis.candidates import Dropped, Made, Proposal, SynthesisLedger
from affinage.synthesis.failures import CandidateError
from affinage.synthesis.filters import Contamination, Duplicates
from affinage.synthesis.judge import Judge
from affinage.synthesis.method import Method, Propose

ROUND = 32  # candidates at a time; fixed, so that how many calls run at once changes nothing
BARREN = 64  # candidates in a row of which none is kept, after which it is given up

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[int, int], None]
"""Called with rows kept and rows wanted, after each round."""


@dataclass(slots=True)
class Result:
    """Rows in their order (whichever call came first), and why there are no more.

    `ended`: "wanted" (all that were asked for), "material" (used up), "budget", or "stale" (nothing passes any more).
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    ledger: SynthesisLedger = field(default_factory=SynthesisLedger)
    ended: str = "wanted"


@dataclass(slots=True)
class Synthesis:
    """One job.

    Attributes:
        wanted: rows; None: all that the material gives.
        workers: calls that run at once.
        contamination: what a row overlaps with, of the data that it is to be kept clean of.
        judge, threshold: rows with a lower score are dropped; None: no judge looks at whole rows.
    """

    method: Method
    asker: Asker
    duplicates: Duplicates
    wanted: int | None = None
    workers: int = 8
    contamination: Contamination | None = None
    judge: Judge | None = None
    threshold: int | None = None
    progress: Progress = lambda kept, wanted: None
    _waiting: list[Proposal] = field(default_factory=list)

    def run(self) -> Result:
        """Work until enough rows are there, the material or the budget is used up, or nothing passes any more.

        Raises:
            AffinageError: what the endpoint said when it stopped serving, once the running calls have ended; what was
                answered stands in the journal.
            KeyboardInterrupt: likewise.
        """
        result = Result()
        pool = ThreadPoolExecutor(self.workers)
        try:
            result.ended = self._rounds(result, pool)
        except BaseException:
            self.asker.stop.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        if self.asker.trouble is not None:
            raise self.asker.trouble
        for proposal in self._waiting:
            result.ledger.drop(Dropped("surplus", "not-needed"), proposal.text)
        result.ledger.check()
        return result

    def _rounds(self, result: Result, pool: ThreadPoolExecutor) -> str:
        fertile = 0  # candidates up to the last round that kept something
        target = self._target()
        while self.wanted is None or result.ledger.kept < self.wanted:
            before = result.ledger.kept
            room = ROUND if self.wanted is None else min(ROUND, self.wanted - before)
            chosen = self._choose(result, pool, room)
            if chosen is None:
                return "material"
            for proposal, outcome in zip(chosen, self._each(pool, self._complete, chosen), strict=True):
                self._keep(result, proposal, outcome)
            self.progress(result.ledger.kept, target)
            enough = self.wanted is not None and result.ledger.kept >= self.wanted
            if not enough and (self.asker.meter.exhausted or self.asker.stop.is_set()):
                return "budget"
            if result.ledger.kept > before:
                fertile = result.ledger.generated
            if result.ledger.generated - fertile >= BARREN:
                return "stale"
        return "wanted"

    def _target(self) -> int:
        most = self.method.forecast(self.wanted or 1).most
        return min(number for number in (self.wanted, most) if number is not None)

    def _choose(self, result: Result, pool: ThreadPoolExecutor, room: int) -> list[Proposal] | None:
        """At most `room` candidates that passed the filters; None when there is nothing left to make them from."""
        if len(self._waiting) < room:
            works = self.method.proposals(room - len(self._waiting))
            if not works and not self._waiting:
                return None
            for found in self._each(pool, self._propose, works):
                result.ledger.generated += len(found)
                for candidate in found:
                    self._filter(result, candidate)
        chosen, self._waiting = self._waiting[:room], self._waiting[room:]
        return chosen

    def _filter(self, result: Result, candidate: Proposal | Dropped) -> None:
        if isinstance(candidate, Dropped):
            result.ledger.drop(candidate)
            return
        heuristics = self.method.heuristics
        reason = heuristics.check(candidate.text) if heuristics else ""
        dropped = (
            Dropped("heuristics", reason)
            if reason
            else self.duplicates.check(candidate.text, str(candidate.values.get("family", "")))
        )
        if dropped is None:
            self._waiting.append(candidate)
        else:
            result.ledger.drop(dropped, candidate.text)

    def _propose(self, work: Propose) -> Sequence[Proposal | Dropped]:
        found = _guarded(lambda: work(Trail(self.asker)))
        return [found] if isinstance(found, Dropped) else found

    def _complete(self, proposal: Proposal) -> Made | Dropped:
        return _guarded(lambda: self._checked(proposal))

    def _checked(self, proposal: Proposal) -> Made | Dropped:
        made = self.method.complete(proposal)
        if isinstance(made, Dropped):
            return made
        overlap = self.contamination(made.prompt, made.answer) if self.contamination else ""
        if overlap:
            return Dropped("decontamination", "overlap", overlap)
        if self.judge is not None and self.threshold is not None:
            score = self.judge.score(proposal.trail, made.prompt, made.answer)
            if score < self.threshold:
                return Dropped("judge", "low-score", f"{score} of 10")
            made.values["judge_score"] = score
        return made

    def _keep(self, result: Result, proposal: Proposal, outcome: Made | Dropped) -> None:
        if isinstance(outcome, Dropped):
            result.ledger.drop(outcome, proposal.text)
            return
        sources = [{"uri": source.uri, "locator": source.locator} for source in proposal.sources]
        lineage = {"method": self.method.name, "sources": sources, **proposal.trail.lineage()}
        result.rows.append({**outcome.values, "lineage": lineage})
        result.ledger.kept += 1
        self.method.accept(proposal, outcome)

    def _each(self, pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        return list(pool.map(work, items))


def _guarded(work: Callable[[], R]) -> R | Dropped:
    """What `work` gives, or the drop that stands for its failure."""
    try:
        return work()
    except CandidateError as error:
        return Dropped(error.stage, error.reason, error.detail)
