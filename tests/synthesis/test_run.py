"""The loop: the ledger adds up, order and rows do not depend on who answers first, and nothing is asked twice."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affinage.errors import RunError
from affinage.generation import pauses
from affinage.generation.endpoint import Endpoint
from affinage.generation.remote import RemoteGenerator
from affinage.synthesis.asking import Asker
from affinage.synthesis.candidates import Dropped, SynthesisLedger
from affinage.synthesis.costs import Meter, Prices
from affinage.synthesis.journal import Journal
from affinage.synthesis.methods import METHODS
from tests.synthesis import jobs
from tests.synthesis.conftest import MakeAsker, Serve
from tests.synthesis.server import Body, ChatServer, Said, good_teacher, key_of

FAULTS = (
    "good", "good", "good", "empty", "not json", "cut", "refused", "broken", "wrong shape", "huge", "no usage", "nothing"
)  # fmt: skip


def faulty(fault: str, body: Body) -> Said:
    """One answer with a fault."""
    return {
        "good": Said(good_teacher(body)), "empty": Said(""), "not json": Said("Well, {"),
        "cut": Said(good_teacher(body)[:20], finish="length"), "refused": Said(status=400), "broken": Said(status=500),
        "wrong shape": Said('{"pairs": 1, "score": "x", "instructions": [1]}'), "huge": Said("x" * 300_000),
        "no usage": Said(good_teacher(body), usage=None), "nothing": Said(raw=b"{}"),
    }[fault]  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(list(METHODS)), st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([None, 5]),
    st.sampled_from([None, 0.02, 0.1]), st.sampled_from([0.3, 0.7]),
)  # fmt: skip
def test_the_ledger_adds_up_whatever_the_teacher_says(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, name: str, seed: int, wanted: int,
    threshold: int | None, budget: float | None, similarity: float,
) -> None:  # fmt: skip
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.001)
    draw = random.Random(seed)
    choice = [draw.choice(FAULTS) for _ in range(64)]
    with ChatServer(lambda body, number: faulty(choice[int(key_of(body), 16) % 64], body)) as server:
        journal = Journal(tmp_path_factory.mktemp("ledger") / "a.journal")
        teacher = RemoteGenerator(Endpoint(server.url), "scripted", retries=0)
        asker = Asker(teacher, journal, Meter(Prices(1, 100), budget), stop=teacher.stop)
        try:
            result = jobs.run(name, asker, wanted=wanted, threshold=threshold, similarity=similarity)
        except RunError:
            assert asker.trouble is not None
            return
        finally:
            journal.close()
        ledger = result.ledger
        assert ledger.generated == ledger.kept + sum(ledger.dropped.values())
        assert ledger.kept == len(result.rows) <= wanted
        assert budget is None or asker.meter.cost <= budget
        assert asker.meter.calls == len(journal)
        assert max(server.counts.values(), default=0) <= 2  # refused ones leave nothing to replay


def test_a_ledger_that_does_not_add_up_is_told() -> None:
    ledger = SynthesisLedger(generated=3, kept=1)
    ledger.drop(Dropped("judge", "tie"))
    with pytest.raises(RunError, match="3 generated, 2 accounted for"):
        ledger.check()


@pytest.mark.parametrize("name", list(METHODS))
def test_rows_do_not_depend_on_which_call_ends_first(
    serve: Serve, make_asker: MakeAsker, tmp_path: Path, name: str
) -> None:
    found = []
    for workers in (1, 8):
        delays = random.Random(workers)
        server = serve(lambda body, number, draw=delays: Said(good_teacher(body), delay=draw.uniform(0, 0.01)))
        asker = make_asker(server.url)
        result = jobs.run(name, asker, wanted=12, workers=workers)
        for row in result.rows:
            del row["lineage"]["time"]
        found.append((json.dumps(result.rows), result.ledger.to_json()))
        (tmp_path / "calls.journal").unlink()
    assert found[0] == found[1]


def test_calls_run_at_once_and_no_more_than_asked_for(serve: Serve, make_asker: MakeAsker) -> None:
    server = serve(lambda body, number: Said(good_teacher(body), delay=0.05))
    jobs.run("critique", make_asker(server.url), workers=3)
    assert server.most_running == 3


def test_a_second_run_asks_for_nothing_and_gives_the_same(serve: Serve, make_asker: MakeAsker) -> None:
    server = serve(lambda body, number: Said(good_teacher(body) + " " * (number % 3)))
    first = jobs.run("evolve", make_asker(server.url))
    asked = len(server.requests)
    time.sleep(1.0)  # another second on the clock
    again = make_asker(server.url)
    assert jobs.run("evolve", again).rows == first.rows
    assert (len(server.requests), again.meter.replayed) == (asked, asked)


def test_an_endpoint_that_breaks_stops_the_job_and_a_later_one_goes_on(serve: Serve, make_asker: MakeAsker) -> None:
    broken = serve(lambda body, number: good_teacher(body) if number < 5 else Said(status=500))
    asker = make_asker(broken.url, retries=0)
    with pytest.raises(RunError, match="calls in a row have failed"):
        jobs.run("qa", asker, workers=1)
    assert len(asker.journal) == 5
    server = serve()
    asker = make_asker(server.url)
    result = jobs.run("qa", asker, workers=1)
    assert result.rows
    assert (asker.meter.replayed, len(server.requests)) == (5, 7)
    assert not {key_of(body) for body in broken.requests[:5]} & set(server.counts)


def test_the_budget_ends_the_job_with_what_is_there(serve: Serve, make_asker: MakeAsker) -> None:
    asker = make_asker(serve().url, budget=0.03, prices=Prices(1, 100))
    result = jobs.run("qa", asker)
    assert result.ended == "budget"
    assert result.rows
    assert asker.meter.cost <= 0.03
    assert result.ledger.reasons["answer"]["not-finished"] > 0


def test_what_nobody_wants_is_counted(serve: Serve, make_asker: MakeAsker) -> None:
    result = jobs.run("qa", make_asker(serve().url), wanted=4)
    assert (result.ended, len(result.rows)) == ("wanted", 4)
    assert result.ledger.reasons["surplus"] == {"not-needed": 2}


def test_the_judge_drops_what_is_worth_too_little(serve: Serve, make_asker: MakeAsker) -> None:
    result = jobs.run("critique", make_asker(serve().url), threshold=6)
    assert result.ledger.reasons["judge"]["low-score"] > 0
    assert all(row["judge_score"] >= 6 for row in result.rows)


def test_overlap_with_a_benchmark_is_dropped(serve: Serve, make_asker: MakeAsker) -> None:
    job = jobs.job("critique", make_asker(serve().url))
    job.contamination = lambda prompt, answer: "exam.jsonl:3" if "case 4" in prompt else ""
    result = job.run()
    assert len(result.rows) == 9
    assert result.ledger.reasons["decontamination"] == {"overlap": 1}
    assert result.ledger.examples["decontamination"][0]["detail"] == "exam.jsonl:3"
