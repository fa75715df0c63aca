"""Hosts provisioned: one, and all of a stack at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from provisioning import holding, provision, recipe
from provisioning.deploys import gpu_host
from provisioning.deploys.report import Report
from provisioning.deploys.step import Step, Teller
from provisioning.errors import HostError, RemoteError
from provisioning.facts.lock import LockOwner
from provisioning.host import Host
from provisioning.remote import LocalRemote
from stacks.outputs import HostOutput, Price, StackOutputs
from tests.provisioning.deploys.stand_ins import here, step

RECIPE = recipe.load("rehearsal")
PATIENCE_S = 20


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets a deploy have these steps and no others."""

    def let(*wanted: Step) -> None:
        monkeypatch.setattr(gpu_host, "collect", lambda _: wanted)

    return let


def nobody(step: str, text: str) -> None:
    del step, text


def test_what_is_missing_is_done_under_the_lock(steps: Callable[..., None], tmp_path: Path) -> None:
    """It is ours meanwhile, and free afterwards."""
    seen: list[bool] = []

    def look(host: Host, tell: Teller) -> None:
        del tell
        owner = host.fact(LockOwner)
        seen.append(owner is not None and owner.lease)

    steps(step("a", run=look))
    report = provision.provision(here(tmp_path), None, RECIPE, nobody)
    assert (("a",), [True]) == (report.changed, seen)
    assert here(tmp_path).fact(LockOwner) is None


def test_nothing_to_change_takes_no_lock(steps: Callable[..., None], tmp_path: Path) -> None:
    """One exchange, and not a line in the audit log."""
    (tmp_path / "a").touch()
    steps(step("a"))
    host = here(tmp_path)
    report = provision.provision(host, None, RECIPE, nobody)
    assert ((), 1) == (report.changed, host.remote.exchanges)
    assert ["a"] == [path.name for path in tmp_path.iterdir()]


def test_a_dry_run_is_one_exchange_too(steps: Callable[..., None], tmp_path: Path) -> None:
    """It tells the commands, takes no lock, changes nothing."""
    steps(step("a"))
    host = Host(LocalRemote(tmp_path), str(tmp_path), dry_run=True)
    report = provision.provision(host, None, RECIPE, nobody)
    assert (("touch a",), True, 1) == (
        report.steps[0].commands,
        report.dry_run,
        host.remote.exchanges,
    )
    assert [] == list(tmp_path.iterdir())


def outputs(*names: str) -> StackOutputs:
    price = Price(0.0, "owned", "me", "2026-01-01")
    one = HostOutput("", (), "127.0.0.1", 1, "u", (), "")
    hosts = tuple(replace(one, name=name, workdir=f"/w/{name}") for name in names)
    when = "2026-01-01T00:00:00+00:00"
    return StackOutputs(1, "s", "o", "c", "", "", hosts, (), None, price, when, None, "rehearsal")


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StackOutputs:
    """A stack of three, each a folder on this machine."""

    def remote(host: HostOutput, key: str | None) -> LocalRemote:
        del key
        found = LocalRemote(tmp_path / host.name)
        found.name = host.name
        return found

    monkeypatch.setattr(provision, "SshRemote", remote)
    named = outputs("x", "y", "z")
    hosts = tuple(replace(h, workdir=str(tmp_path / h.name)) for h in named.hosts)
    for host in hosts:
        Path(host.workdir).mkdir()
    return replace(named, hosts=hosts)


def deaf(host: str, step: str, text: str) -> None:
    del host, step, text


def test_all_hosts_are_provisioned_at_once(
    steps: Callable[..., None], fleet: StackOutputs, tmp_path: Path
) -> None:
    """Each waits for the others inside of it; reports come in the stack's order."""
    meeting = threading.Barrier(3)

    def meet(host: Host, tell: Teller) -> None:
        del host, tell
        meeting.wait(PATIENCE_S)

    (tmp_path / "y" / "a").touch()
    steps(step("a"), step("b", run=meet))
    found = provision.provision_stack(fleet, RECIPE, deaf)
    reports = [one for one in found if isinstance(one, Report)]
    assert [("x", ("a", "b")), ("y", ("b",)), ("z", ("a", "b"))] == [
        (report.host, report.changed) for report in reports
    ]


def test_the_failure_of_one_is_no_failure_of_others(
    steps: Callable[..., None], fleet: StackOutputs
) -> None:
    """Its error stands in its place."""

    def refuse(host: Host) -> None:
        if host.name == "y":
            raise HostError("Too small.", host=host.name)

    steps(step("a", check=refuse))
    found = provision.provision_stack(fleet, RECIPE, deaf)
    assert [Report, HostError, Report] == [type(one) for one in found]


def test_a_bug_is_raised(steps: Callable[..., None], fleet: StackOutputs) -> None:
    """Not taken for an end of a host."""
    steps(step("a", check=lambda _: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        provision.provision_stack(fleet, RECIPE, deaf)


def test_what_happens_is_told_with_the_host(
    steps: Callable[..., None], fleet: StackOutputs
) -> None:
    """And the step."""
    heard: list[tuple[str, str, str]] = []
    steps(step("a", run=lambda _, tell: tell("hello")))
    provision.provision_stack(fleet, RECIPE, lambda *said: heard.append(said))
    assert {("x", "a", "hello"), ("y", "a", "hello"), ("z", "a", "hello")} <= set(heard)


def test_interrupted_it_lets_go_of_all_hosts_at_once(
    steps: Callable[..., None],
    fleet: StackOutputs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is at work there: the locks are free when it returns."""
    working, over = threading.Barrier(4), threading.Event()

    def work(host: Host, tell: Teller) -> None:
        del host, tell
        working.wait(PATIENCE_S)
        over.wait(PATIENCE_S)

    class Interrupted(provision.SimpleQueue):
        def get(self, *_: object) -> object:
            working.wait(PATIENCE_S)
            raise KeyboardInterrupt

    steps(step("a", run=work))
    monkeypatch.setattr(provision, "SimpleQueue", Interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            provision.provision_stack(fleet, RECIPE, deaf)
        assert [None] * 3 == [here(tmp_path / name).fact(LockOwner) for name in "xyz"]
    finally:
        over.set()
    assert_nothing_is_held()


def assert_nothing_is_held() -> None:
    """The threads have ended."""
    import time

    deadline = time.monotonic() + PATIENCE_S
    while holding._HELD:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_host_that_cannot_be_reached_is_told(
    monkeypatch: pytest.MonkeyPatch, fleet: StackOutputs, steps: Callable[..., None]
) -> None:
    """As the connection tells it."""

    def cut(*_: object, **__: object) -> None:
        raise RemoteError("No way.")

    steps(step("a"))
    monkeypatch.setattr(LocalRemote, "run", cut)
    assert [RemoteError] * 3 == [
        type(one) for one in provision.provision_stack(fleet, RECIPE, deaf)
    ]
