"""Questions: replayed, seeded, paid within the budget, and given up when all fail."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from affinage.data.records import Message
from affinage.errors import RunError
from affinage.synthesis.asking import FAILURES, Asker, Question, UnansweredError
from affinage.synthesis.costs import Meter, Prices, most_tokens
from tests.synthesis.conftest import SETTINGS, MakeAsker, Serve
from tests.synthesis.server import Said

QUESTION = Question("p/1", (Message("user", "Hello?"),), SETTINGS)
PRICES = Prices(read=1000.0, written=2000.0)  # a thousandth for a token read, two for one written


def many(count: int) -> list[Question]:
    return [replace(QUESTION, ordinal=number) for number in range(count)]


def test_an_answered_question_is_never_sent_again(serve: Serve, make_asker: MakeAsker) -> None:
    server = serve(lambda body, number: f"answer {number}")
    asker = make_asker(server.url)
    first = [asker.ask(question) for question in many(5)]
    assert [asker.ask(question) for question in many(5)] == first
    assert (asker.meter.calls, asker.meter.replayed) == (5, 0)
    again = make_asker(server.url)
    assert [again.ask(question) for question in many(6)][:5] == first
    assert (again.meter.calls, again.meter.replayed) == (1, 5)
    assert server.counts.most_common(1)[0][1] == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(QUESTION, ordinal=1),
        replace(QUESTION, messages=(Message("user", "Hello!"),)),
        replace(QUESTION, messages=(Message("system", "Hello?"),)),
        replace(QUESTION, settings=replace(SETTINGS, temperature=0.1)),
        replace(QUESTION, settings=replace(SETTINGS, max_tokens=201)),
    ],
)
def test_whatever_changes_a_request_changes_its_key(serve: Serve, make_asker: MakeAsker, other: Question) -> None:
    asker = make_asker(serve(lambda body, number: "Said.").url, judge="judging")
    keys = {asker.ask(QUESTION).key, asker.ask(other).key, asker.ask(QUESTION, judge=True).key}
    assert len(keys) == 3


def test_seeds_are_derived_from_the_job_and_the_request(serve: Serve, make_asker: MakeAsker) -> None:
    server = serve(lambda body, number: "Said.")
    for seed in (0, 0, 1):
        asker = make_asker(server.url, seed=seed)
        (asker.journal.path).write_bytes(b"")
        asker.journal._entries.clear()
        for question in many(2):
            asker.ask(question)
    seeds = [body["seed"] for body in server.requests]
    assert seeds[:2] == seeds[2:4]
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_the_budget_is_never_exceeded_and_well_used(serve: Serve, make_asker: MakeAsker) -> None:
    server = serve(lambda body, number: Said("Said.", usage=(5, 100), delay=0.005))
    one, most = PRICES.cost(5, 100), PRICES.cost(most_tokens(QUESTION.messages), SETTINGS.max_tokens)
    asker = make_asker(server.url, budget=10 * one, prices=PRICES)
    with ThreadPoolExecutor(4) as pool:
        answered = list(pool.map(lambda question: _answered(asker, question), many(30)))
    assert asker.meter.cost <= 10 * one
    assert asker.meter.exhausted
    assert 10 * one - asker.meter.cost < most  # nothing is left in which one more call surely fits
    assert sum(answered) == asker.meter.calls == len(server.requests)


def test_a_budget_counts_what_earlier_attempts_have_paid(serve: Serve, make_asker: MakeAsker) -> None:
    server = serve(lambda body, number: Said("Said.", usage=(5, 200)))
    one = PRICES.cost(5, 200)
    asker = make_asker(server.url, budget=3.2 * one, prices=PRICES)
    assert sum(_answered(asker, question) for question in many(9)) == 3
    asker = make_asker(server.url, budget=5.2 * one, prices=PRICES)
    assert sum(_answered(asker, question) for question in many(9)) == 5
    assert asker.meter.cost == pytest.approx(5 * one)
    assert len(server.requests) == 5


def test_calls_without_usage_count_at_their_most(serve: Serve, make_asker: MakeAsker) -> None:
    asker = make_asker(serve(lambda body, number: Said("Said.", usage=None)).url)
    asker.ask(QUESTION)
    meter = asker.meter
    assert (meter.read, meter.written, meter.estimated) == (most_tokens(QUESTION.messages), 200, 1)


def test_failures_in_a_row_end_the_work(serve: Serve, make_asker: MakeAsker) -> None:
    server = serve(lambda body, number: "Said." if number == 0 else Said(status=500))
    asker = make_asker(server.url, retries=0)
    assert [_answered(asker, question) for question in many(9)] == [True] + [False] * 8
    assert len(server.requests) == 1 + FAILURES
    assert isinstance(asker.trouble, RunError)
    assert re.match(r"5 calls in a row have failed; the last: 127\.0\.0\.1:\d+: 500", asker.trouble.message)


def test_a_request_that_is_refused_for_itself_ends_nothing(serve: Serve, make_asker: MakeAsker) -> None:
    server = serve(lambda body, number: "Said." if number == 0 else Said(status=400))
    asker = make_asker(server.url)
    assert [_answered(asker, question) for question in many(9)] == [True] + [False] * 8
    assert asker.trouble is None
    assert asker.meter.failed == 8


def test_when_every_request_is_refused_from_the_first_on_it_ends(serve: Serve, make_asker: MakeAsker) -> None:
    server = serve(lambda body, number: Said(status=400))
    asker = make_asker(server.url)
    assert not any(_answered(asker, question) for question in many(9))
    assert len(server.requests) == FAILURES
    assert isinstance(asker.trouble, RunError)


def test_a_reservation_gives_way_to_true_costs() -> None:
    meter = Meter(Prices(0, 1_000_000), budget=10)
    first = meter.reserve(0, 9)
    assert first is not None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(meter.reserve, 0, 8)
        meter.settle(first, (0, 2, True))
        assert waiting.result(5) == 8
        assert meter.reserve(0, 0) == 0


def _answered(asker: Asker, question: Question) -> bool:
    try:
        asker.ask(question)
    except UnansweredError:
        return False
    return True
