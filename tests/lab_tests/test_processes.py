"""Processes of the lab are known by more than their number."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.lab import engine, machine, processes


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lab's things are kept here."""
    for module in (processes, engine):
        monkeypatch.setattr(module, "HOME", tmp_path)
    return tmp_path


def test_a_process_runs_until_it_is_stopped() -> None:
    """Its log is kept, its number is not."""
    processes.start("sleeper", ["sleep", "60"])
    assert processes.running("sleeper")
    assert processes.stop("sleeper")

    assert not processes.running("sleeper")
    assert not processes.stop("sleeper")


def test_one_that_does_not_listen_is_killed(home: Path) -> None:
    """After some patience."""
    processes.start("deaf", ["sh", "-c", "trap '' TERM; echo so; while :; do sleep 0.1; done"])
    while (home / "deaf.log").read_text() != "so\n":
        time.sleep(0.01)
    processes.stop("deaf", patience_s=0.3)

    assert not processes.running("deaf")


def test_another_process_with_the_same_number_is_left_alone(home: Path) -> None:
    """It started at another time."""
    with subprocess.Popen(["sleep", "60"]) as other:
        (home / "gone.pid").write_text(f"{other.pid}:1")

        assert not processes.stop("gone")
        assert other.poll() is None
        other.terminate()


def test_this_process_is_alive() -> None:
    """And one that is gone, or is no number, is not."""
    assert processes.alive(processes.identity(os.getpid()))
    assert not processes.alive("4194399:1")
    assert not processes.alive("")


def test_a_machine_without_the_programs_has_no_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages that are missing are named."""
    monkeypatch.setattr(machine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine.shutil, "which", lambda _: None)

    assert "docker.io mmdebstrap mount" in str(machine.why_not())
    assert "Go" in str(machine.why_no_toolkit())


def test_a_person_without_root_has_no_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loop devices and the daemon need it."""
    monkeypatch.setattr(machine.os, "geteuid", lambda: 1000)

    assert "root" in str(machine.why_not())
