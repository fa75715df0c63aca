"""Tests of clocks, processes and what the host is."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench_agent import clock, identity, stamps
from bench_agent.phases import Phases


def test_the_gap_between_the_clocks_does_not_move_by_itself() -> None:
    """A process that was put aside between two readings does not look like a set clock."""
    gaps = [clock.gap_ns() for _ in range(200)]

    assert max(gaps) - min(gaps) < 1_000_000


def test_a_loose_reading_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tightest of five wins."""
    ticks = iter([0, 50_000_000, 50_000_000, 50_000_010])
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(ticks))
    monkeypatch.setattr(time, "time_ns", lambda: 150_000_005)

    assert 100_000_000 == clock.gap_ns()


def test_a_process_is_known_by_its_start() -> None:
    """One that has ended has none, also before its parent has looked."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    zombie = clock.process_started(ended.pid)
    ended.wait()

    assert (None, None) == (zombie, clock.process_started(ended.pid))
    assert (clock.process_started(os.getpid()) or 0) > 0
    assert clock.cpu_ticks(os.getpid()) > 0
    assert 0 == clock.cpu_ticks(ended.pid)


def test_times_are_read() -> None:
    """Whatever the offset; in nanoseconds."""
    same = [clock.parse_time(t) for t in ("2026-11-21T12:00:00Z", "2026-11-21T13:30:00.0+01:30")]

    assert [1795262400_000000000] * 2 == same


def test_a_time_without_offset_is_refused() -> None:
    """Nobody knows which hour that is."""
    with pytest.raises(ValueError, match="no offset"):
        clock.parse_time("2026-11-21T12:00:00")


def test_a_machine_without_a_boot_id_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty, not an error."""
    monkeypatch.setattr(clock, "_BOOT_ID", Path("/nowhere"))

    assert "" == clock.boot_id()


def test_a_stamp_is_decoded() -> None:
    """Seconds and nanoseconds, as the kernel packs them."""
    assert 1_000_000_002 == stamps.decode(bytes([1] + [0] * 7 + [2] + [0] * 7))


def test_the_host_is_described() -> None:
    """Each field has something in it."""
    host = identity.host()

    assert {"hostname", "os", "kernel", "cpu", "cores", "memory_mib", "boot_id"} <= set(host)
    assert [] == [key for key, value in host.items() if not value]
    assert "" == identity._field("/nowhere", "x", ":")
    assert "" == identity._field("/proc/meminfo", "NoSuchThing", ":")


def test_the_agent_is_known_by_its_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From source by its modules; as an archive by the archive."""
    from_source = identity.agent()
    archive = tmp_path / "agent.pyz"
    archive.write_bytes(b"PK")
    monkeypatch.setattr(identity, "_PACKAGE", archive / "bench_agent")

    assert ["sha256", "version", "python"] == list(from_source)
    assert 64 == len(from_source["sha256"])
    assert hashlib.sha256(b"PK").hexdigest() == identity.agent_sha256()


def test_phases_add_up() -> None:
    """Also when one of them fails."""
    phases = Phases()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), phases.measure("a"):
            _ = 1 / 0

    assert ["a"] == list(phases.seconds)
