"""Comparisons in both orders: flips and ties are seen and counted."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from affinage.synthesis.asking import Trail
from affinage.synthesis.judge import Judge, Tally
from affinage.synthesis.parsing import FormatError
from tests.synthesis.conftest import MakeAsker, Serve
from tests.synthesis.server import Body, prompt_of

ONE, OTHER = "alpha answer", "omega answer"


def says(choose: Callable[[bool], str]) -> Callable[[Body, int], str]:
    """A judge that is told whether ONE is shown first."""

    def script(body: Body, number: int) -> str:
        asked = prompt_of(body)
        return json.dumps({"reason": "r", "better": choose(asked.index(ONE) < asked.index(OTHER))})

    return script


@pytest.mark.parametrize(
    ("choose", "winner", "tally"),
    [
        (lambda first: "A" if first else "B", "first", Tally(1, agreed=1, shown_first=1, shown_second=1)),
        (lambda first: "B" if first else "A", "second", Tally(1, agreed=1, shown_first=1, shown_second=1)),
        (lambda first: "A", "tie", Tally(1, flips=1, shown_first=2)),
        (lambda first: "B", "tie", Tally(1, flips=1, shown_second=2)),
        (lambda first: "tie", "tie", Tally(1, both_ties=1)),
        (lambda first: "A" if first else "tie", "tie", Tally(1, half_ties=1, shown_first=1)),
    ],
)
def test_both_orders(
    serve: Serve, make_asker: MakeAsker, choose: Callable[[bool], str], winner: str, tally: Tally
) -> None:
    server = serve(says(choose))
    judge = Judge(100)
    asker = make_asker(server.url, judge="judging")
    assert judge.compare(Trail(asker), "What?", ONE, OTHER) == winner
    assert judge.tally == tally
    assert [body["model"] for body in server.requests] == ["judging"] * 2
    assert {body["temperature"] for body in server.requests} == {0.0}
    first, second = map(prompt_of, server.requests)
    assert first.index(ONE) < first.index(OTHER)
    assert second.index(OTHER) < second.index(ONE)


@pytest.mark.parametrize("said", ['{"score": 11}', '{"score": 0}', '{"score": "7"}', '{"score": 7.5}', "7", "{}"])
def test_a_score_out_of_form_is_no_score(serve: Serve, make_asker: MakeAsker, said: str) -> None:
    with pytest.raises(FormatError):
        Judge(100).score(Trail(make_asker(serve(lambda body, number: said).url)), "What?", ONE)


def test_a_score(serve: Serve, make_asker: MakeAsker) -> None:
    trail = Trail(make_asker(serve(lambda body, number: '{"score": 7, "reason": "r"}').url))
    assert Judge(100).score(trail, "What?", ONE) == 7
