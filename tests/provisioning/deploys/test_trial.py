"""What a step would do, known before anything is said to the host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioning.command import Command, Fact
from provisioning.deploys.step import Step, Teller
from provisioning.deploys.trial import Trial, tried
from provisioning.errors import HostError
from provisioning.host import Host
from tests.provisioning.deploys.stand_ins import There, here, step, touch, touched


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host of which one file is known to be there, and one not to be."""
    (tmp_path / "there").touch()
    found = here(tmp_path)
    found.gather(There("there"), There("absent"))
    return found


def silent(host: Host, trial: Trial) -> Trial:
    """The trial; nothing was said to the host for it."""
    assert 1 == host.remote.exchanges
    return trial


def test_what_is_so_already_is_no_work(host: Host) -> None:
    """No command, nothing more."""
    trial = silent(host, tried(step("there"), host))
    assert (Trial(), False) == (trial, trial.work)


def test_what_is_missing_is_told(host: Host) -> None:
    """The commands, in order."""
    both = Step("x", operations=(touched("absent"), touched("there"), touched("absent")))
    trial = silent(host, tried(both, host))
    assert (["touch absent"] * 2, False) == ([str(c) for c in trial.commands], trial.more)
    assert trial.work


def test_a_question_that_was_not_asked_is_work(host: Host) -> None:
    """What it would come to cannot be told."""
    assert Trial((), more=True) == silent(host, tried(step("unknown"), host))


def test_a_run_that_says_nothing_is_no_work(host: Host) -> None:
    """It looked at facts, and told nobody anything."""

    def run(host: Host, tell: Teller) -> None:
        tell("to nobody")
        assert host.fact(There("there"))

    assert not silent(host, tried(Step("x", run=run), host)).work


def test_a_run_that_would_speak_is_work(host: Host) -> None:
    """It is stopped at its first word; what it would have changed first is told."""
    went_on: list[str] = []

    def changing(host: Host, tell: Teller) -> None:
        del tell
        try:
            host.execute(touch("y"), label="test")
        except Exception:  # noqa: BLE001 - a step that swallows everything is stopped, too
            went_on.append("here")
        went_on.append("and here")

    def asking(host: Host, tell: Teller) -> None:
        del tell
        host.ask(Command("docker", "info"))

    def streaming(host: Host, tell: Teller) -> None:
        del tell
        with host.remote.stream("tail -f log"):
            went_on.append("there")

    assert Trial((touch("y"),), more=True) == silent(host, tried(Step("x", run=changing), host))
    assert Trial((), more=True) == silent(host, tried(Step("x", run=asking), host))
    assert Trial((), more=True) == silent(host, tried(Step("x", run=streaming), host))
    assert [] == went_on


def test_a_run_after_operations_is_not_tried(host: Host) -> None:
    """What it would find is not there yet."""
    unfit = Step("x", operations=(touched("absent"),), run=lambda *_: 1 / 0)
    assert Trial((touch("absent"),), more=True) == silent(host, tried(unfit, host))


def test_what_cannot_be_done_is_told(host: Host) -> None:
    """The error is kept; whether it counts is for those who know what comes before."""
    error = HostError("No.", "Go.")

    def refusing(host: Host) -> Iterator[Command]:
        raise error
        yield

    trial = silent(host, tried(Step("x", operations=(refusing,)), host))
    assert (error, True, False) == (trial.trouble, trial.work, trial.more)
    later = silent(host, tried(Step("x", operations=(touched("absent"), refusing)), host))
    assert Trial((touch("absent"),), more=True) == later


def test_facts_that_do_not_fit_yet_are_no_bug(host: Host) -> None:
    """What is asked of a program that is not there may come to nothing."""

    def confused(host: Host) -> Iterator[Command]:
        yield [touch("x")][int(host.fact(There("there")))]

    assert Trial((), more=True) == silent(host, tried(Step("x", operations=(confused,)), host))


def test_a_trial_leaves_the_host_as_it_was(host: Host) -> None:
    """What is known of it, and what was done."""
    known: dict[Fact[object], object] = dict(host._known)
    tried(step("absent"), host)
    assert (known, [], []) == (host._known, host.ran, host.planned)
