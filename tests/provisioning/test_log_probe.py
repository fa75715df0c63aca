"""The program that follows a log on the host."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from provisioning import log_probe as probe

BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def born(pid: int) -> int:
    """When a process began, in ticks."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19])


@pytest.fixture
def task(tmp_path: Path) -> dict[str, Any]:
    """Of an engine that is this very process."""
    (tmp_path / "pid").write_text(f"{os.getpid()} {born(os.getpid())} {BOOT} 8000\n")
    files = {"log": str(tmp_path / "log"), "pid": str(tmp_path / "pid")}
    return {**files, "status": "", "closed": ["done"], "lines": 2}


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was printed."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_last_lines_come_first_and_then_all_to_the_end(
    task: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said while the engine ends, and a last line without an end, too; beats between."""
    log, looks = Path(task["log"]), [0.0]
    log.write_text("one\ntwo\nthree\n")

    def nap(seconds: float) -> None:
        looks.append(looks[-1] + seconds)
        if len(looks) == 50:
            with log.open("a") as file:
                file.write("10%\r20%\nlast")
            Path(task["pid"]).unlink()

    monkeypatch.setattr(time, "sleep", nap)
    monkeypatch.setattr(time, "monotonic", lambda: looks[-1])
    probe.follow(task)
    found = said(capsys)

    assert ["two", "three", "10%", "20%", "last"] == [m["line"] for m in found if "line" in m]
    assert {"end": "ended"} == found[-1]
    assert 1 <= found.count({})


def test_a_log_that_is_not_there_is_told(
    task: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """At once."""
    probe.follow(task)
    assert [{"end": "missing"}] == said(capsys)


@pytest.mark.parametrize(
    ("status", "over"),
    [
        ({"state": "running"}, False),
        ({"state": "done"}, True),
        ({"state": "running", "boot_id": "x"}, True),
        ({"state": "running", "pid_started": 1}, True),
        ({"state": "running", "pid": 2**22 + 1}, True),
        (None, True),
    ],
)
def test_an_agent_is_over_when_it_says_so_or_is_gone(
    task: dict[str, Any], tmp_path: Path, status: dict[str, Any] | None, over: bool
) -> None:
    """A status that cannot be read is that of nobody."""
    me = {"pid": os.getpid(), "pid_started": born(os.getpid()), "boot_id": BOOT}
    path = tmp_path / "status.json"
    path.write_text("?" if status is None else json.dumps(me | status))

    assert over == probe.over(task | {"status": str(path)})


def test_an_engine_is_over_when_its_process_is_gone(task: dict[str, Any]) -> None:
    """Or never was."""
    alive = probe.over(task)
    Path(task["pid"]).write_text("")

    assert (False, True) == (alive, probe.over(task))
