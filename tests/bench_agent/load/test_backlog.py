"""Tests of what waits to be understood."""

from __future__ import annotations

from bench_agent.load.backlog import Backlog
from bench_agent.load.reply import Exchange, Reading
from bench_agent.load.source import RequestSource
from tests.bench_agent.load.loads import load


def test_a_client_in_a_rush_reads_what_waits() -> None:
    """However busy the sockets are, replies do not pile up."""
    over: list[Reading] = []
    backlog = Backlog(
        RequestSource(load(num_prompts=1), 0, 1), lambda *_: None, over.append, lambda _: None
    )
    for number in range(200):
        backlog.close(Reading(Exchange(number, "r", "u", 0), chat=False))
    for _ in range(100):
        backlog.catch_up()

    assert (136, list(range(136))) == (len(over), [each.exchange.index for each in over])


def test_work_goes_on_until_nothing_is_left() -> None:
    """Replies that are over first, then the requests that are to be made."""
    over: list[Reading] = []
    source = RequestSource(load(num_prompts=3), 0, 1)
    backlog = Backlog(source, lambda *_: None, over.append, lambda _: None)
    backlog.close(Reading(Exchange(0, "r", "u", 0), chat=False))
    while not backlog.is_empty:
        backlog.work()

    assert (1, [0, 1, 2]) == (len(over), [source.take().index for _ in range(3)])
