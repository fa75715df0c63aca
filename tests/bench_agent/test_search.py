"""Tests of the search for the highest load that holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_agent.protocol import Search
from bench_agent.search import Bisection

CAPS = Search("max_concurrency", 1.0, 64.0, precision=0.01)
RATES = Search("request_rate", 1.0, 64.0, precision=0.05)


def found(search: Search, share: Callable[[float], float | None]) -> dict[str, Any]:
    """What a search comes to on a server that answers so."""
    bisection = Bisection(search)
    while (value := bisection.next()) is not None:
        bisection.tell(value, share(value))
    return bisection.result()


def holds_to(limit: float) -> Callable[[float], float]:
    """A server that is good up to *limit*, and no further."""
    return lambda value: 1.0 if value <= limit else 0.5


def values(result: dict[str, Any]) -> list[float]:
    """The loads that were tried, in order."""
    return [step["value"] for step in result["steps"]]


def test_loads_double_and_then_close_in() -> None:
    """From the lowest up to the first that fails, then halfway between."""
    result = found(CAPS, holds_to(21))

    assert [1, 2, 4, 8, 16, 32, 24, 20, 22, 21] == values(result)
    assert (21, 22) == (result["highest"], result["lowest_failed"])


def test_a_concurrency_is_a_whole_number() -> None:
    """An int, as a point takes it."""
    result = found(CAPS, holds_to(21))

    assert {int} == {type(value) for value in [*values(result), result["highest"]]}


def test_a_result_says_what_was_looked_for_and_how() -> None:
    """Everything but the points' names."""
    expected = {
        "over": "max_concurrency",
        "share": 0.99,
        "steps": [
            {"value": 1, "good_share": 1.0, "ok": True},
            {"value": 2, "good_share": 0.5, "ok": False},
        ],
        "highest": 1,
        "lowest_failed": 2,
        "ended": "The answer is as precise as asked for.",
    }

    assert expected == found(CAPS, holds_to(1))


def test_a_rate_is_found_to_the_precision() -> None:
    """The bracket is narrower than that share of its lower end."""
    result = found(RATES, holds_to(21.0))
    low, high = result["highest"], result["lowest_failed"]

    assert low <= 21.0 < high <= low * 1.05
    assert [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 24.0, 20.0, 22.0, 21.0] == values(result)


def test_doubling_ends_at_the_highest_that_may_be_tried() -> None:
    """Which is tried itself; the answer is then not known to be the limit."""
    result = found(Search("request_rate", 3.0, 20.0), holds_to(1e9))

    assert [3.0, 6.0, 12.0, 20.0] == values(result)
    assert (20.0, None) == (result["highest"], result["lowest_failed"])
    assert "The highest load that may be tried holds." == result["ended"]


def test_a_search_whose_lowest_load_fails_ends_there() -> None:
    """Nothing holds, as far as anybody looked."""
    result = found(RATES, holds_to(0.5))

    assert ([1.0], None, 1.0) == (values(result), result["highest"], result["lowest_failed"])
    assert "The lowest load that was tried fails already." == result["ended"]


def test_an_unknown_answer_ends_the_search() -> None:
    """What was known before stands, and the step is there."""
    result = found(RATES, lambda value: 1.0 if value < 4 else None)

    assert {"value": 4.0, "good_share": None, "ok": None} == result["steps"][-1]
    assert (2.0, None) == (result["highest"], result["lowest_failed"])
    assert "The last point says nothing about this load." == result["ended"]


def test_a_share_that_is_met_exactly_holds() -> None:
    """The objective is a lower bound."""
    result = found(Search("request_rate", 1.0, 2.0, share=0.9), lambda _value: 0.9)

    assert 2.0 == result["highest"]


def test_a_search_takes_no_more_steps_than_it_may() -> None:
    """And says what it knows by then."""
    result = found(Search("request_rate", 1.0, 64.0, max_steps=7), holds_to(21.0))

    assert (7, 16.0, 24.0) == (len(result["steps"]), result["highest"], result["lowest_failed"])
    assert "It may take 7 steps and no more." == result["ended"]


def test_next_is_the_same_until_something_is_told() -> None:
    """To ask changes nothing; while it goes on, no end is told."""
    bisection = Bisection(CAPS)

    assert (1, 1, None) == (bisection.next(), bisection.next(), bisection.result()["ended"])


def test_a_load_that_holds_above_one_that_failed_does_not_count() -> None:
    """Answers that contradict each other make the result lower."""
    bisection = Bisection(RATES)
    for value, share in ((1.0, 1.0), (2.0, 1.0), (8.0, 1.0), (4.0, 0.0)):
        bisection.tell(value, share)

    assert (2.0, 4.0) == (bisection.result()["highest"], bisection.result()["lowest_failed"])
    assert 3.0 == bisection.next()


SEARCHES = st.builds(
    lambda low, more, **values: Search(low=low, high=low + more, **values),
    over=st.sampled_from(["max_concurrency", "request_rate"]),
    low=st.integers(1, 50),
    more=st.integers(1, 500),
    precision=st.floats(0.001, 0.5),
    max_steps=st.integers(1, 30),
)


@given(SEARCHES, st.lists(st.sampled_from([0.0, 1.0, None]), min_size=1))
def test_a_search_ends_whatever_the_answers_are(
    search: Search, answers: list[float | None]
) -> None:
    """In no more steps than it may take, within its bounds, and no load twice."""
    bisection = Bisection(search)
    tried: list[float] = []
    while (value := bisection.next()) is not None:
        tried.append(value)
        assert len(tried) <= search.max_steps
        bisection.tell(value, answers[len(tried) % len(answers)])

    assert tried
    assert len(set(tried)) == len(tried)
    assert search.low <= min(tried) <= max(tried) <= search.high
    assert bisection.result()["ended"]


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_a_whole_limit_is_found_exactly(limit: int, low: int) -> None:
    """With steps enough and a precision that asks for it."""
    search = Search("max_concurrency", low, 2000, precision=1e-6, max_steps=50)
    expected = (limit, limit + 1) if low <= limit else (None, low)
    result = found(search, holds_to(limit))

    assert expected == (result["highest"], result["lowest_failed"])


@pytest.mark.parametrize("limit", [1.0, 1.5, 7.3, 33.3, 63.9])
def test_a_rate_stays_within_the_default_number_of_steps(limit: float) -> None:
    """Six doublings and five halvings to 5 %."""
    result = found(RATES, holds_to(limit))

    assert "The answer is as precise as asked for." == result["ended"]
    assert result["highest"] <= limit < result["lowest_failed"] <= result["highest"] * 1.05
