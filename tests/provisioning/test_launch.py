"""Several engines of one run: started, looked at, and stopped as one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioning import instances, launch
from provisioning.command import Secret
from provisioning.engines.base import API_KEY, ProcessSpec
from provisioning.errors import LaunchError
from provisioning.host import Host
from provisioning.launchers import base, process
from provisioning.launchers.base import SCRIPT, File, Handle
from provisioning.recipe_schema import Timeouts
from tests.provisioning.conftest import KEY

RUN = "20260101T000000Z-rehearsal-0a1b"
FIRST, SECOND, THIRD = launch.ids(RUN, 3)
SOON = Timeouts(ready_s=20.0)
Fake = Callable[..., ProcessSpec]
pytestmark = pytest.mark.integration


def says(text: str) -> tuple[str, ...]:
    """A program that says something and waits."""
    return (sys.executable, "-c", f"print({text!r}, flush=True)\nimport signal\nsignal.pause()")


def started(host: Host, **specs: ProcessSpec) -> tuple[Handle, ...]:
    names = dict(zip(launch.ids(RUN, len(specs)), specs.values(), strict=True))
    return launch.start_all(host, process, names)


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def test_the_first_has_the_name_of_the_run() -> None:
    """The others are numbered, what stands in front is called so."""
    assert (RUN, f"{RUN}.1", f"{RUN}.2") == (FIRST, SECOND, THIRD)
    assert f"{RUN}.front" == launch.front_id(RUN)


def test_the_whole_life_of_several_costs_one_exchange_a_step(host: Host, fake: Fake) -> None:
    """Started, alive, logs, stopped with logs, alive, stopped."""
    handles = started(host, a=fake("silent"), b=fake("silent"), c=fake("silent"))
    assert [FIRST, SECOND, THIRD] == [handle.run_id for handle in handles]
    assert [FIRST, SECOND, THIRD] == [Path(handle.log).parent.name for handle in handles]
    assert launch.alive(host, RUN)
    assert {FIRST, SECOND, THIRD} == launch.logs(host, RUN, 10).keys()
    stopped, logs = launch.stop_with_logs(host, RUN, 10)
    assert (True, {SECOND, THIRD}) == (stopped, set(logs))
    assert (False, False) == (launch.alive(host, RUN), launch.stop(host, RUN))
    assert 6 == host.remote.exchanges


def test_one_that_is_gone_is_missed(host: Host, fake: Fake) -> None:
    """The run is alive when all are; stopping ends what is left."""
    started(host, a=fake("silent"), b=fake("exit"))
    until(lambda: not launch.alive(host, SECOND))
    assert not launch.alive(host, RUN)
    assert launch.stop(host, RUN)
    assert not launch.stop(host, RUN)


def test_no_two_get_one_port(
    host: Host, fake: Fake, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even while the first does not listen yet: here there is one for both."""
    monkeypatch.setattr(base, "ENGINE_PORTS", range(unused_port, unused_port + 1))
    with pytest.raises(LaunchError, match="no port from"):
        started(host, a=fake("silent"), b=fake("silent"))
    assert launch.stop(host, RUN)


MEETING = """
touch here
n=0
until [ -e ../{other}/here ]; do
  n=$((n + 1))
  [ $n -lt 200 ] || {{ echo "alone" >&2; exit 1; }}
  sleep 0.05
done
echo stopped
"""


def test_they_are_stopped_at_the_same_time(host: Host) -> None:
    """Each may take its whole grace: here none goes before the other is told to."""
    for name, other in ((FIRST, SECOND), (SECOND, FIRST)):
        at = Path(host.path("engines", name))
        at.mkdir(parents=True)
        (at / SCRIPT).write_text(f'cd "$(dirname "$0")"\n{MEETING.format(other=other)}')
    assert launch.stop(host, RUN)


def test_logs_come_whole_and_without_the_key(host: Host, fake: Fake) -> None:
    """Of each its own; also of one that has no key, for it may have been told that of others."""
    started(
        host,
        a=fake(argv=says(f"first {KEY}{KEY} end\n--x\n")),
        b=fake(argv=says(f"second {KEY}"), secret_env={}),
    )
    until(lambda: all(launch.logs(host, RUN, 10).values()))
    assert {FIRST: "first [REDACTED][REDACTED] end\n--x\n\n", SECOND: "second [REDACTED]\n"} == (
        launch.logs(host, RUN, 10)
    )
    assert {FIRST: "\n", SECOND: "second [REDACTED]\n"} == launch.logs(host, RUN, 1)


def test_without_a_key_logs_are_as_they_are(host: Host, fake: Fake) -> None:
    """Even an empty one."""
    spec = fake(argv=says("a\\b $x"), secret_env={API_KEY: Secret("")})
    started(host, a=spec, b=fake(argv=says("plain"), secret_env={}))
    until(lambda: all(launch.logs(host, RUN, 10).values()))
    assert {FIRST: "a\\b $x\n", SECOND: "plain\n"} == launch.logs(host, RUN, 10)


def test_one_that_cannot_be_stopped_is_told(host: Host, fake: Fake) -> None:
    """The others are stopped all the same."""
    started(host, a=fake("silent"))
    at = Path(host.path("engines", SECOND))
    at.mkdir(parents=True)
    (at / SCRIPT).write_text("echo processes of group 7 are left >&2; exit 1\n")
    with pytest.raises(LaunchError, match=r"could not be stopped: .*group 7 are left\."):
        launch.stop(host, RUN)
    (at / SCRIPT).unlink()
    assert not launch.alive(host, FIRST)


def test_a_launcher_that_cannot_is_told_in_its_words(
    host: Host, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And another one is proposed."""
    text = "echo systemd does not run on this host >&2; [ $1 = start ] && exit 97; exit 1\n"
    monkeypatch.setattr(process, "files", lambda *_: (File(SCRIPT, text, 0o700),))
    with pytest.raises(LaunchError) as caught:
        launch.start(host, process, fake(), RUN)
    assert "The engine was not started: systemd does not run on this host." == caught.value.what
    assert "--set launcher=process" in caught.value.advice


def test_all_are_waited_for_at_once(host: Host, fake: Fake) -> None:
    """Each tells of itself by its number."""
    notes: list[str] = []
    handles = started(host, a=fake(), b=fake())
    ready = instances.wait(host, handles, SOON, notes.append)
    assert 2 == len(ready)
    assert {"engine 1", "engine 2"} == {note.partition(":")[0] for note in notes}


def test_one_alone_is_called_the_engine(host: Host, fake: Fake) -> None:
    """No number."""
    notes: list[str] = []
    instances.wait(host, started(host, a=fake()), SOON, notes.append)
    assert {"engine"} == {note.partition(":")[0] for note in notes}


def test_the_first_that_dies_ends_the_wait(host: Host, fake: Fake) -> None:
    """At once, however long the others would take; which it was is said; the others go on."""
    handles = started(host, a=fake("silent"), b=fake("exit"), c=fake("silent"))
    with pytest.raises(LaunchError, match=rf"engine 2 of 3 \({SECOND}\)") as caught:
        instances.wait(host, handles, Timeouts(ready_s=600.0), lambda _: None)
    assert "CUDA out of memory, says the fake" in caught.value.log
    assert (True, False) == (launch.alive(host, THIRD), launch.alive(host, SECOND))


def test_what_is_no_error_of_ours_is_raised_as_it_is(
    host: Host, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug keeps its traceback, and nobody waits on."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("provisioning.readiness.wait", broken)
    with pytest.raises(ZeroDivisionError):
        instances.wait(host, started(host, a=fake("silent"), b=fake("silent")), SOON, print)
