"""One run at a time on a host."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from provisioning.command import Command
from provisioning.errors import CommandError, HostError
from provisioning.facts.lock import LockOwner, Owner
from provisioning.host import Host
from provisioning.operations import lock
from provisioning.remote import LocalRemote
from tests.provisioning.fakes import FakeHost

ANN = Owner("ann@desk", "20260101T000000Z-rehearsal-0a1b", "2026-01-01T10:00:00+00:00")
BOB = Owner("bob@lap", "20260101T000001Z-rehearsal-ffff", "2026-01-01T10:00:01+00:00")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(LocalRemote(tmp_path), f"{tmp_path}/w")


def fresh(host: Host) -> Host:
    return Host(host.remote, host.workdir)


def test_a_free_host_is_taken(host: Host, tmp_path: Path) -> None:
    """The owner stands in the lock afterwards, for us alone to read."""
    assert lock.acquire(host, ANN)
    assert ANN == fresh(host).fact(LockOwner)
    assert 0o600 == (tmp_path / "w" / "lock" / "owner.json").stat().st_mode & 0o777


def test_the_same_run_takes_it_again_for_nothing() -> None:
    """No command is yielded."""
    assert [] == list(lock.taken(FakeHost(LockOwner=ANN), ANN))


def test_another_run_is_refused_by_name() -> None:
    """Who, since when, which run, and what to do."""
    with pytest.raises(HostError) as caught:
        list(lock.taken(FakeHost(LockOwner=ANN), BOB))
    assert (
        "fake-host is in use by ann@desk since 2026-01-01T10:00:00+00:00 "
        "(run 20260101T000000Z-rehearsal-0a1b)." == caught.value.what
    )
    assert all(word in caught.value.advice for word in ("fab attach", "fab stop", "/w/lock"))


def test_the_slower_of_two_is_refused_by_name_too(host: Host) -> None:
    """Both saw it free; mkdir decides, and the loser learns who won."""
    host.gather(LockOwner)
    lock.acquire(fresh(host), ANN)
    with pytest.raises(HostError, match="in use by ann@desk"):
        lock.acquire(host, BOB)
    assert ANN == fresh(host).fact(LockOwner)


def test_trouble_that_is_no_owner_is_told_as_it_is(tmp_path: Path) -> None:
    """A place where nothing can be written is not 'in use'."""
    (tmp_path / "file").touch()
    host = Host(LocalRemote(tmp_path), f"{tmp_path}/file")
    with pytest.raises(CommandError, match="take the lock"):
        lock.acquire(host, ANN)


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("cat: write error: No space left on device", "There is no space left for /w on the host."),
        ("mkdir: cannot create: Permission denied", "Our user may not write to /w on the host."),
    ],
)
def test_a_place_that_cannot_be_written_to_is_named(said: str, what: str) -> None:
    """With what to do about it."""
    (command,) = lock.taken(FakeHost(LockOwner=None), ANN)
    assert command.explain is not None
    assert what == (command.explain(said) or ("",))[0]


def test_only_one_of_many_gets_it(host: Host) -> None:
    """Eight at the same moment: one has it, seven are refused."""
    start, won, refused = threading.Barrier(8), [], []

    def race(number: int) -> None:
        owner = Owner(f"user{number}", f"run-{number}", "now")
        mine = Host(LocalRemote(Path(host.workdir).parent), host.workdir)
        start.wait()
        try:
            won.append((lock.acquire(mine, owner), owner))
        except HostError as error:
            refused.append(error)

    racers = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert ([(True, host.fact(LockOwner))], 7) == (won, len(refused))


def test_its_run_gives_it_back(host: Host, tmp_path: Path) -> None:
    """Afterwards it is free, and nothing of it is left."""
    lock.acquire(host, ANN)
    assert host.apply(lock.released, ANN.run_id)
    assert None is host.fact(LockOwner)
    assert ["audit.log"] == [path.name for path in (tmp_path / "w").iterdir()]


@pytest.mark.parametrize("owner", [None, BOB], ids=["free", "another's"])
def test_what_is_not_ours_is_not_given_back(owner: Owner | None) -> None:
    """No command for a free lock, none for another run's."""
    assert [] == list(lock.released(FakeHost(LockOwner=owner), ANN.run_id))


def test_a_lock_that_changed_hands_is_left_alone(host: Host) -> None:
    """What we knew may be old: the owner is looked at again on the host."""
    lock.acquire(fresh(host), BOB)
    stale: list[Command] = list(lock.released(FakeHost(LockOwner=ANN), ANN.run_id))
    host.execute(*stale, label="test")
    assert BOB == host.fact(LockOwner)
