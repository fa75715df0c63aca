"""This process, told apart from all others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from provisioning import controller


def test_we_are_there() -> None:
    """Whoever asks."""
    assert not controller.gone(controller.ourselves())


def test_a_process_that_has_ended_is_gone() -> None:
    """Its number may be another's by then: its start tells."""
    code = "from provisioning import controller; print(controller.ourselves())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert controller.gone(done.stdout.strip())
    *place, pid, _ = controller.ourselves().split()
    assert controller.gone(" ".join([*place, pid, "1"]))


def test_a_process_that_nobody_waited_for_is_gone() -> None:
    """Dead, but still in the table."""
    with subprocess.Popen(["sleep", "60"]) as process:
        place = controller.ourselves().split()[:2]
        before = " ".join([*place, str(process.pid), controller._started(process.pid)])
        alive = controller.gone(before)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert (False, True) == (alive, controller.gone(before))


@pytest.mark.parametrize("process", ["", "x", "other-boot pid:[1] 1 1"])
def test_nothing_is_said_of_processes_elsewhere(process: str) -> None:
    """On another machine, in another container, or of a system that cannot tell."""
    assert not controller.gone(process)


def test_a_system_without_proc_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the lease alone counts."""
    ours = controller.ourselves()

    def absent(_: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    assert ("", False) == (controller.ourselves(), controller.gone(ours))
