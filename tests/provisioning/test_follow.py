"""A run watched over a connection that breaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bench_agent.protocol import Event
from provisioning import follow as following
from provisioning.errors import HostKeyError, RemoteError
from provisioning.follow import follow

RUN = "20261121T090000Z-rehearsal-0a1b"
EVENTS = [Event(i, i, "note", f"event {i}") for i in range(1, 6)] + [Event(6, 6, "end", "done")]


class FakeRemote:
    name = "test-host"
    closed = 0

    def close(self) -> None:
        self.closed += 1


class FakeAgent:
    """Tells `EVENTS`, but breaks off after as many as each of `cuts` says."""

    def __init__(self, cuts: list[int], error: Exception | None = None) -> None:
        self.cuts = cuts
        self.error = error or RemoteError("broke")
        self.asked: list[int] = []
        self.remote = FakeRemote()

    @contextmanager
    def follow(self, run_id: str, since: int) -> Iterator[Iterator[Event]]:
        self.asked.append(since)
        yield self._events(since, self.cuts.pop(0) if self.cuts else None)

    def _events(self, since: int, cut: int | None) -> Iterator[Event]:
        for n, event in enumerate(e for e in EVENTS if e.seq > since):
            if n == cut:
                raise self.error
            yield event


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_PAUSE_S", 0.0)


def _seen(agent: FakeAgent, **options: Any) -> tuple[str | None, list[int]]:
    seen: list[Event] = []
    end = follow(agent, RUN, seen.append, **options)  # type: ignore[arg-type]  # by shape
    return end, [event.seq for event in seen if event.kind != "reconnect"]


def test_every_event_is_heard_once_and_in_order() -> None:
    """An undisturbed run is told from its first event to its end."""
    assert ("done", [1, 2, 3, 4, 5, 6]) == _seen(FakeAgent([]))


def test_after_a_cut_nothing_is_missed_or_told_twice() -> None:
    """Each reconnection goes on after the last event that was heard."""
    agent = FakeAgent([2, 0, 3])

    assert ("done", [1, 2, 3, 4, 5, 6]) == _seen(agent)
    assert [0, 2, 2, 5] == agent.asked


def test_a_host_out_of_reach_for_long_is_given_up_not_the_run() -> None:
    """After the patience is over the error says that the run goes on, and how to attach."""
    with pytest.raises(RemoteError, match=r"goes on there\. `fab attach`"):
        _seen(FakeAgent([0] * 99), patience_s=-1)


def test_a_changed_host_key_is_not_tried_again() -> None:
    """What cannot get better by waiting is raised at once."""
    agent = FakeAgent([1, 0], HostKeyError("another key"))

    with pytest.raises(HostKeyError):
        _seen(agent)

    assert 1 == len(agent.asked)


def test_the_watcher_may_leave_early() -> None:
    """`until` ends the watching, and says so by None."""
    assert (None, [1]) == _seen(FakeAgent([]), until=lambda: True)
