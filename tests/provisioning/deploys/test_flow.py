"""Steps side by side, in order where it matters."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.command import Command
from provisioning.deploys import flow
from provisioning.deploys.report import StepReport
from provisioning.deploys.step import Step, Teller
from provisioning.deploys.trial import Trial, tried
from provisioning.errors import CommandError, HostError
from provisioning.host import Host
from tests.provisioning.deploys.stand_ins import There, here, step, touch, touched

PATIENCE_S = 20


def nobody(step: str, text: str) -> None:
    del step, text


def run(host: Host, steps: Sequence[Step], tell: flow.Tell = nobody) -> tuple[StepReport, ...]:
    """As a deploy does it: asked, tried, run."""
    host.gather(*(fact for each in steps for fact in each.facts))
    return flow.run(steps, host, {each.name: tried(each, host) for each in steps}, tell)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return here(tmp_path)


def test_what_is_missing_is_done_and_told(host: Host, tmp_path: Path) -> None:
    """Changed or not, with the commands and the time."""
    (tmp_path / "b").touch()
    first, second = run(host, [step("a"), step("b")])
    assert (True, ("touch a",), True) == (first.changed, first.commands, first.seconds > 0)
    assert StepReport("b") == second
    assert (tmp_path / "a").exists()


def test_nothing_to_do_says_nothing(host: Host, tmp_path: Path) -> None:
    """Not one exchange after the facts, and nobody hears of it."""
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    heard: list[str] = []
    run(host, [step("a"), step("b", "a")], lambda *said: heard.append(str(said)))
    assert (1, []) == (host.remote.exchanges, heard)


def test_steps_without_order_run_at_the_same_time(host: Host) -> None:
    """Each waits for the other inside of it: alone, neither would end."""
    meeting = threading.Barrier(2)

    def meet(host: Host, tell: Teller) -> None:
        del host, tell
        meeting.wait(PATIENCE_S)

    steps = [step("a", run=meet), step("b", run=meet)]
    assert (True, True) == tuple(report.changed for report in run(host, steps))


def test_a_step_begins_when_those_before_it_are_over(host: Host, tmp_path: Path) -> None:
    """What they made is there; names that nobody has are not waited for."""
    seen: list[tuple[bool, bool]] = []

    def look(host: Host, tell: Teller) -> None:
        del host, tell
        seen.append(((tmp_path / "a").exists(), (tmp_path / "b").exists()))

    run(host, [step("a"), step("b", "a"), step("c", "b", "nobody", run=look)])
    assert [(True, True)] == seen


def test_each_operation_finds_what_the_one_before_it_did(host: Host) -> None:
    """Its facts are of its own time, asked in one exchange."""
    facts = (There("a"), There("b"), There("c"))
    two = Step("x", facts, operations=(touched("a"), touched("a"), touched("b"), touched("c")))
    (report,) = run(host, [two])
    assert ("touch a", "touch b", "touch c") == report.commands
    # Asked; a; asked, asked no more for the second a; b; asked; c.
    assert 6 == host.remote.exchanges


def test_what_came_before_may_make_work(host: Host, tmp_path: Path) -> None:
    """Idle by the facts of the beginning, but not after a disk was mounted over it, say."""
    (tmp_path / "cache").touch()
    cover = Command("rm", str(tmp_path / "cache"))

    def covering(host: Host, tell: Teller) -> None:
        del tell
        host.execute(cover, label="test")

    steps = [step("disk", run=covering), step("cache", "disk"), step("late", "cache")]
    (tmp_path / "late").touch()
    disk, cache, late = run(host, steps)
    assert (True, True, False) == (disk.changed, cache.changed, late.changed)
    assert (tmp_path / "cache").exists()


def test_the_first_failure_stops_what_has_not_begun(host: Host, tmp_path: Path) -> None:
    """What runs runs to its end; step and sentence are told at once, and stand in the error."""
    failed, told = threading.Event(), list[tuple[str, str]]()

    def fail(host: Host, tell: Teller) -> None:
        del tell
        host.execute(Command("false"), label="test")

    def outlast(host: Host, tell: Teller) -> None:
        del tell
        assert failed.wait(PATIENCE_S)
        host.execute(touch("ended"), label="test")

    def hear(step: str, text: str) -> None:
        told.append((step, text))
        if text.startswith("failed"):
            failed.set()

    steps = [step("a", run=fail), step("b", run=outlast), step("c", "b"), step("d", "a")]
    with pytest.raises(CommandError) as caught:
        run(host, steps, hear)
    assert "provision.a" == caught.value.phase
    assert ("a", f"failed: {caught.value.what} Waiting for the end of b.") in told
    there = {name: (tmp_path / name).exists() for name in ("ended", "c", "d")}
    assert {"ended": True, "c": False, "d": False} == there


def test_the_first_of_two_failures_is_told(host: Host) -> None:
    """The other may well come of it."""
    second = threading.Event()

    def fail(host: Host, tell: Teller) -> None:
        del host, tell
        raise HostError("First.")

    def fail_too(host: Host, tell: Teller) -> None:
        del host, tell
        second.wait(PATIENCE_S)
        raise HostError("Second.")

    with pytest.raises(HostError, match="First"):
        run(host, [step("a", run=fail), step("b", run=fail_too)], lambda *_: second.set())


def test_what_goes_on_by_itself_is_not_waited_for(host: Host) -> None:
    """A pull or a download: that it goes on is told, and the failure is raised at once."""
    over, left, told = threading.Event(), threading.Event(), list[tuple[str, str]]()
    begun = threading.Barrier(3)

    def fail(host: Host, tell: Teller) -> None:
        begun.wait(PATIENCE_S)
        raise HostError("No such package.", "Correct it.", host=host.name)

    def pull(host: Host, tell: Teller) -> None:
        del host
        begun.wait(PATIENCE_S)
        assert over.wait(PATIENCE_S)
        try:
            tell("nobody hears this")
        finally:
            left.set()

    steps = [step("packages", run=fail), step("images", run=pull), step("model", run=pull)]
    with pytest.raises(HostError, match="No such package"):
        run(host, steps, lambda *said: told.append(said))
    goes_on = "goes on by itself on the host; the next run joins it"
    expected = [("packages", "failed: No such package.")]
    expected += [("images", goes_on), ("model", goes_on)]
    assert expected == told
    over.set()
    assert left.wait(PATIENCE_S)
    assert expected == told


def test_every_failure_is_told_when_it_comes(host: Host) -> None:
    """The first is raised; a later one is not lost."""
    told: list[tuple[str, str]] = []
    first = threading.Event()

    def fail(host: Host, tell: Teller) -> None:
        raise HostError("First.")

    def fail_too(host: Host, tell: Teller) -> None:
        assert first.wait(PATIENCE_S)
        raise HostError("Second.")

    def hear(step: str, text: str) -> None:
        told.append((step, text))
        first.set()

    with pytest.raises(HostError, match="First"):
        run(host, [step("a", run=fail), step("b", run=fail_too)], hear)
    expected = [("a", "failed: First. Waiting for the end of b."), ("b", "failed: Second.")]
    assert expected == told


def test_a_bug_in_a_step_is_raised_as_it_is(host: Host) -> None:
    """With its own traceback, and no phase that it does not have."""
    with pytest.raises(ZeroDivisionError):
        run(host, [step("a", run=lambda *_: 1 / 0)])


def test_no_more_than_a_few_run_at_once(host: Host) -> None:
    """An SSH server allows ten sessions on a connection."""
    running, most, lock = 0, 0, threading.Lock()
    full = threading.Barrier(flow.AT_ONCE)

    def count(host: Host, tell: Teller) -> None:
        nonlocal running, most
        del host, tell
        with lock:
            running += 1
            most = max(most, running)
        full.wait(PATIENCE_S)
        with lock:
            running -= 1

    run(host, [step(f"s{n}", run=count) for n in range(2 * flow.AT_ONCE)])
    assert (flow.AT_ONCE, 0) == (most, running)


def test_what_a_step_says_is_told_with_its_name(host: Host) -> None:
    """From its commands, from what it runs, and its end."""
    heard: list[tuple[str, str]] = []
    saying = Step(
        "a",
        operations=(lambda _: iter([Command("echo", "dyno: from a command")]),),
        run=lambda _, tell: tell("from a run"),
    )
    run(host, [saying], lambda *said: heard.append(said))
    *said, (_, end) = heard
    assert [("a", "from a command"), ("a", "from a run")] == said
    assert end.startswith("done in ")


EDGES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=14)


@settings(max_examples=40, deadline=None)
@given(EDGES, st.sets(st.integers(0, 7)))
def test_any_order_is_kept(edges: list[tuple[int, int]], work: set[int]) -> None:
    """Whatever waits for whatever: each is over before what comes after it begins."""
    after = {n: tuple(f"s{a}" for a, b in edges if a < b == n) for n in range(8)}
    order: list[str] = []

    def note(name: str) -> Step:
        return Step(name, after=after[int(name[1:])], run=lambda *_: order.append(name))

    steps = [note(f"s{n}") for n in range(8)]
    trials = {f"s{n}": Trial(more=n in work) for n in range(8)}
    reports = flow.run(steps, Host(here(Path("/tmp")).remote, "/tmp"), trials, nobody)
    assert [each.name for each in steps] == [report.name for report in reports]
    assert {f"s{n}" for n in work} == set(order)
    at = {name: order.index(name) for name in order}
    kept = [at[a] < at[b] for b in order for a in after[int(b[1:])] if a in at]
    assert all(kept)
