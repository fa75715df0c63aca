"""How a download is told, and what happens when its host falls silent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from provisioning import model_follow
from provisioning.command import Command
from provisioning.errors import HostKeyError, RemoteError
from provisioning.facts.download import Going
from provisioning.host import Host
from provisioning.model_follow import Rate, follow, line
from provisioning.models import HubModel
from provisioning.remote import Completed
from tests.provisioning.fakes import NoRemote

MODEL = HubModel("o/m", None, "https://hub", "/h")


class Answering(Host):
    """Answers looks one after the other; an exception is raised."""

    def __init__(self, *answers: str | Exception) -> None:
        super().__init__(NoRemote(), "/w")
        self._answers: Iterator[str | Exception] = iter(answers)

    def ask(self, command: Command, timeout_s: float | None = None) -> Completed:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return Completed(0, answer, "")


def running(done: int) -> str:
    return f'running\n{{"done": {done}, "total": 65500000000}}\n\n'


OVER = 'over\n\n{"state": "done"}\n'


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_follow, "POLL_S", 0.0)
    monkeypatch.setattr(model_follow, "SAY_S", 0.0)


@pytest.mark.parametrize(
    ("speed", "expected"),
    [(4.1e8, "12.3 of 65.5 GB, 410 MB/s"), (None, "12.3 of 65.5 GB")],
)
def test_progress_is_a_line(speed: float | None, expected: str) -> None:
    """In gigabytes, and how fast."""
    assert expected == line(Going("running", 12_300_000_000, 65_500_000_000), speed)


def test_the_rate_is_that_of_the_last_moments() -> None:
    """What was a minute ago does not count any more."""
    rate = Rate()
    assert [None, 100.0] == [rate(0.0, 0), rate(10.0, 1000)]
    assert 10.0 == rate(20.0, 1100)


def test_a_download_is_followed_to_its_end() -> None:
    """Nothing is told before its size is known."""
    told: list[str] = []
    going = follow(Answering("running\n\n\n", running(0), running(10**9), OVER), MODEL, told.append)
    assert ({"state": "done"}, 2) == (going.result, len(told))
    assert "0.0 of 65.5 GB" == told[0]


def test_news_are_not_told_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first look, and then after a while."""
    monkeypatch.setattr(model_follow, "SAY_S", 3600.0)
    told: list[str] = []
    follow(Answering(running(1), running(2), running(3), OVER), MODEL, told.append)
    assert 1 == len(told)


def test_a_connection_that_breaks_is_taken_up_again() -> None:
    """The download goes on meanwhile."""
    host = Answering(running(1), RemoteError("broke"), RemoteError("refused"), OVER)
    assert {"state": "done"} == follow(host, MODEL, print).result


def test_a_host_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while; what it said last is told."""
    monkeypatch.setattr(model_follow, "PATIENCE_S", -1.0)
    with pytest.raises(RemoteError, match="gone"):
        follow(Answering(RemoteError("gone"), OVER), MODEL, print)


def test_a_host_that_is_another_is_given_up_at_once() -> None:
    """A changed key is nothing that passes."""
    with pytest.raises(HostKeyError):
        follow(Answering(HostKeyError("another"), OVER), MODEL, print)
