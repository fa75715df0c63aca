"""The lock of a host, leased by whoever changes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from provisioning import exchange, holding
from provisioning.command import Command
from provisioning.errors import HostError, RemoteError
from provisioning.facts.lock import LockOwner, Owner
from provisioning.holding import held
from provisioning.host import Host
from provisioning.operations import lock
from provisioning.remote import LocalRemote

ANN = Owner("ann@desk", "20260101T000000Z-provision-0a1b", "2026-01-01T10:00:00+00:00")
BOB = Owner("bob@lap", "20260101T000001Z-rehearsal-ffff", "2026-01-01T10:00:01+00:00")
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return fresh(tmp_path)


def fresh(tmp_path: Path) -> Host:
    return Host(LocalRemote(tmp_path), f"{tmp_path}/w")


def nobody(text: str) -> None:
    raise AssertionError(f"nothing was to be said: {text}")


def test_a_host_is_held_and_given_back(host: Host, tmp_path: Path) -> None:
    """Leased meanwhile, by us; free afterwards; and what was known of it is known still."""
    host.gather(LockOwner)
    with held(host, ANN, nobody) as hold:
        found = fresh(tmp_path).fact(LockOwner)
        assert found is not None
        assert (ANN.run_id, True, "", False) == (found.run_id, found.lease, found.left, hold.late)
        assert ANN.run_id == host.fence
    assert (None, "") == (fresh(tmp_path).fact(LockOwner), host.fence)


def test_it_is_given_back_when_the_work_failed(host: Host, tmp_path: Path) -> None:
    """Whatever failed."""
    with pytest.raises(ZeroDivisionError), held(host, ANN, nobody):
        raise ZeroDivisionError
    assert fresh(tmp_path).fact(LockOwner) is None


def test_all_are_given_back_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one after another: each return waits for the other."""
    meeting = threading.Barrier(2)
    returned = holding.lock.returned

    def meet(run_id: str) -> Command:
        meeting.wait(5)
        return returned(run_id)

    places = [tmp_path / name for name in "ab"]
    for place in places:
        place.mkdir()
    with held(fresh(places[0]), ANN, nobody), held(fresh(places[1]), BOB, nobody):
        with monkeypatch.context() as both:
            both.setattr(holding.lock, "returned", meet)
            holding.give_all_back()
        assert [None, None] == [fresh(place).fact(LockOwner) for place in places]


def test_a_lock_that_hangs_does_not_hang_us(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of a network that is gone: each command of the lock has its time."""
    every = [lock.kept(ANN), lock.returned("r"), *lock.taken(host, ANN)]
    lock.acquire(fresh(tmp_path), ANN)
    every += lock.released(fresh(tmp_path), ANN.run_id)
    assert [30.0] * 4 == [command.timeout_s for command in every]
    monkeypatch.setattr(lock, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(lock, "_RETURN", "exec sleep 60")
    with pytest.raises(RemoteError, match="took longer"):
        host.execute(lock.returned("r"), label="test")


def test_a_lock_that_is_kept_is_the_runs_own(host: Host, tmp_path: Path) -> None:
    """It needs no renewal, and ends with its run."""
    with held(host, ANN, nobody) as hold:
        hold.keep()
    assert ANN == fresh(tmp_path).fact(LockOwner)
    assert fresh(tmp_path).apply(lock.released, ANN.run_id)


def test_a_live_run_is_respected(host: Host, tmp_path: Path) -> None:
    """At once: a run's own lock needs no sign of life."""
    lock.acquire(fresh(tmp_path), BOB)
    with (
        pytest.raises(HostError, match=r"in use by bob@lap.*rehearsal-ffff"),
        held(host, ANN, nobody),
    ):
        raise AssertionError
    assert BOB == fresh(tmp_path).fact(LockOwner)


def test_a_lease_that_is_renewed_is_respected(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second waits for a sign of life of the first, not for its work, and is told who it is."""
    monkeypatch.setattr(holding, "_RENEW_S", 0.3)
    monkeypatch.setattr(holding, "_POLL_S", 0.05)
    said: list[str] = []
    at_work = ["flock", "-s", f"{tmp_path}/w", "cat"]
    with (
        held(fresh(tmp_path), ANN, nobody),
        subprocess.Popen(at_work, stdin=subprocess.PIPE) as process,
    ):
        deadline = time.monotonic() + 10
        while not holds(tmp_path / "w"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with (
            pytest.raises(HostError, match="in use by ann@desk"),
            held(host, BOB, said.append),
        ):
            raise AssertionError
        assert process.stdin is not None
        process.stdin.close()
        found = fresh(tmp_path).fact(LockOwner)
        assert found is not None
        assert ANN.run_id == found.run_id
    assert ["waiting for a sign of life"] == [text.partition(": ")[2].rstrip(".") for text in said]


def test_the_second_goes_on_when_the_first_is_ready(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it knew of the host is old then."""
    monkeypatch.setattr(holding, "_POLL_S", 0.05)
    waiting = threading.Event()

    def first() -> None:
        with held(fresh(tmp_path), ANN, nobody):
            begun.set()
            waiting.wait(10)

    begun = threading.Event()
    other = threading.Thread(target=first)
    other.start()
    begun.wait(10)
    with held(host, BOB, lambda _: waiting.set()) as hold:
        assert hold.late
    other.join()


@pytest.mark.integration
def test_the_lock_of_a_dead_fab_is_taken_over(host: Host, tmp_path: Path) -> None:
    """Killed on this machine: known at once, and said."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from provisioning.facts.lock import Owner\n"
        "from provisioning.holding import held\n"
        "from provisioning.host import Host\n"
        "from provisioning.remote import LocalRemote\n"
        "there = Path(sys.argv[1])\n"
        "host = Host(LocalRemote(there), str(there / 'w'))\n"
        "with held(host, Owner('ann', 'run-1', 'now'), print):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=CHECKOUT, check=False)
    assert -9 == killed.returncode
    said: list[str] = []
    with held(host, BOB, said.append) as hold:
        assert hold.late
    assert ["Taking over the lock of ann (since now): its `fab`, on this machine, is gone."] == said


@pytest.mark.parametrize(
    ("boot", "age", "why"),
    [
        (None, 41, "nobody has renewed it for 41 s"),
        ("0e5f54b1-another-boot", 0, "the host was started anew since"),
    ],
)
def test_a_lease_that_is_over_is_taken_over(
    host: Host, tmp_path: Path, boot: str | None, age: int, why: str
) -> None:
    """Of a machine that is cut off, or before the host was started anew."""
    leave_lock(tmp_path, {"lease": True, "controller": "elsewhere"}, boot, age)
    said: list[str] = []
    with held(host, BOB, said.append):
        found = fresh(tmp_path).fact(LockOwner)
        assert found is not None
        assert BOB.run_id == found.run_id
    assert [f"Taking over the lock of ann (since now): {why}."] == said


def test_a_lock_that_was_left_is_taken_away(host: Host, tmp_path: Path) -> None:
    """By whoever finds it; a live one and a run's own stay."""
    said: list[str] = []
    leave_lock(tmp_path, {"lease": True}, None, 41)
    holding.tidy(host, said.append)
    assert fresh(tmp_path).fact(LockOwner) is None
    assert ["Took away the lock of ann (since now): nobody has renewed it for 41 s."] == said
    holding.tidy(fresh(tmp_path), nobody)
    for more in ({"lease": True}, {}):
        leave_lock(tmp_path, more, None, 1)
        holding.tidy(fresh(tmp_path), nobody)
        assert fresh(tmp_path).fact(LockOwner) is not None


def test_a_runs_lock_does_not_outlive_a_boot(host: Host, tmp_path: Path) -> None:
    """Its engine and its agent are gone by then."""
    leave_lock(tmp_path, {}, "0e5f54b1-another-boot", 0)
    assert lock.acquire(host, BOB)
    assert BOB == fresh(tmp_path).fact(LockOwner)


def leave_lock(tmp_path: Path, more: dict[str, object], boot: str | None, age_s: int) -> None:
    """A lock of ann's, renewed *age_s* ago in the *boot* (by default this one)."""
    now = int(float(Path("/proc/uptime").read_text().split()[0]))
    this = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    folder = tmp_path / "w" / "lock"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "beat").write_text(f"{boot or this} {now - age_s}\n")
    owner = {"who": "ann", "run_id": "run-1", "since": "now"} | more
    (folder / "owner.json").write_text(json.dumps(owner))


def test_what_an_interrupted_fab_began_is_waited_for(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its script goes on on the host; the next one begins when that is over, and looks anew."""
    monkeypatch.setattr(holding, "_POLL_S", 0.02)
    (tmp_path / "w").mkdir()
    os.mkfifo(tmp_path / "pipe")
    script = exchange.changing([Command("cat", f"{tmp_path}/pipe")], f"{tmp_path}/w", "b0", "me")
    with subprocess.Popen(["/bin/sh", "-c", exchange.SHELL], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(script.encode())
        process.stdin.close()
        pipe = (tmp_path / "pipe").open("w")
        said: list[str] = []

        def note(text: str) -> None:
            said.append(text)
            pipe.close()

        with held(host, ANN, note) as hold:
            assert hold.late
    (text,) = said
    assert "still going on: waiting" in text


def test_what_does_not_end_is_an_error(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a long time, with where to look."""
    monkeypatch.setattr(holding, "_POLL_S", 0.01)
    monkeypatch.setattr(holding, "_CHANGES_S", 0.1)
    (tmp_path / "w").mkdir()
    with subprocess.Popen(["flock", "-s", tmp_path / "w", "sleep", "60"]) as process:
        deadline = time.monotonic() + 10
        while not holds(tmp_path / "w"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        try:
            with pytest.raises(HostError, match="does not end"), held(host, ANN, lambda _: None):
                raise AssertionError
        finally:
            subprocess.run(["kill", "--", *children(process.pid)], check=True)


def holds(folder: Path) -> bool:
    """Whether somebody holds the folder's lock."""
    return subprocess.run(["flock", "-n", "-x", folder, "true"], check=False).returncode != 0


def children(pid: int) -> list[str]:
    """The process and what it started."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [str(pid), *path.read_text().split()]


def test_the_lease_is_renewed(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Now and then; trouble with that is not told, for the work itself will have it."""
    monkeypatch.setattr(holding, "_RENEW_S", 0.02)
    with held(host, ANN, nobody):
        beat = tmp_path / "w" / "lock" / "beat"
        beat.write_text("old 1\n")
        deadline = time.monotonic() + 10
        while beat.read_text() == "old 1\n":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        before = host.remote.exchanges

        def broken(*_: object, **__: object) -> None:
            host.remote.exchanges += 1
            raise RemoteError("cut")

        with monkeypatch.context() as cut:
            cut.setattr(host.remote, "run", broken)
            while host.remote.exchanges < before + 3:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        beat.write_text("old 2\n")
        while beat.read_text() == "old 2\n":
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_disk_mounted_over_the_folder_gets_the_lock_too(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of ours is in it then; a lock that was taken from us is not taken back."""
    monkeypatch.setattr(holding, "_RENEW_S", 0.02)
    with held(host, ANN, nobody):
        (tmp_path / "w").rename(tmp_path / "below")
        deadline = time.monotonic() + 10
        beat = tmp_path / "w" / "lock" / "beat"
        while not beat.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        found = fresh(tmp_path).fact(LockOwner)
        assert found is not None
        assert (ANN.run_id, True) == (found.run_id, found.lease)
    assert fresh(tmp_path).fact(LockOwner) is None


def test_a_lock_that_was_taken_over_is_not_taken_back(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that slept too long neither renews it, nor frees it in the end."""
    monkeypatch.setattr(holding, "_RENEW_S", 0.02)
    with held(host, ANN, nobody):
        lock_folder = tmp_path / "w" / "lock"
        (lock_folder / "owner.json").write_text(json.dumps(BOB.said()))
        (lock_folder / "beat").write_text("theirs 1\n")
        before, deadline = host.remote.exchanges, time.monotonic() + 10
        while host.remote.exchanges < before + 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert "theirs 1\n" == (lock_folder / "beat").read_text()
    found = fresh(tmp_path).fact(LockOwner)
    assert found is not None
    assert BOB.run_id == found.run_id


def test_a_lock_that_was_freed_by_force_is_not_taken_back(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`fab stop` by somebody else is respected."""
    monkeypatch.setattr(holding, "_RENEW_S", 0.02)
    with held(host, ANN, nobody):
        fresh(tmp_path).apply(lock.released, ANN.run_id)
        before, deadline = host.remote.exchanges, time.monotonic() + 10
        while host.remote.exchanges < before + 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert fresh(tmp_path).fact(LockOwner) is None
