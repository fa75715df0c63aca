"""A download as a process: its lock, its token, what it writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from provisioning.model_fetch import job
from provisioning.model_fetch.failure import Failure
from provisioning.model_fetch.plan import Plan

SECRET = "hf_0123456789"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "task.json").write_text('{"name": "o/m"}')
    return tmp_path


def ran(folder: Path, monkeypatch: pytest.MonkeyPatch, outcome: Any) -> dict[str, Any]:
    """The result of a job whose download comes to *outcome*."""

    def fetch(task: dict[str, Any], token: str | None, plans: list[Plan]) -> dict[str, Any]:
        assert "o/m" == task["name"]
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, dict)
        return outcome

    monkeypatch.setattr(job, "fetch", fetch)
    job.run(folder, SECRET, job.fetched)
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    assert result.pop("seconds") >= 0
    assert True is result.pop("with_token")
    return result


def test_a_result_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the download tells of itself."""
    assert {"state": "done", "commit": "c"} == ran(folder, monkeypatch, {"commit": "c"})


def test_a_failure_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its figures."""
    expected = {"state": "failed", "kind": "space", "detail": "", "missing": 2}
    assert expected == ran(folder, monkeypatch, Failure("space", missing=2))


def test_a_bug_is_written_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody would hear of it otherwise; a token that got into it is taken out."""
    result = ran(folder, monkeypatch, KeyError(f"no {SECRET}"))
    assert {"state": "failed", "kind": "other", "detail": "'no [REDACTED]'"} == result
    assert "KeyError" in capsys.readouterr().err


def test_the_token_is_read_once(folder: Path) -> None:
    """Then it is gone; an empty one is none."""
    (folder / "token").write_text(f"{SECRET}\n")
    assert [SECRET, None] == [job.take_token(folder), job.take_token(folder)]
    (folder / "token").write_text("")
    assert None is job.take_token(folder)
    assert ["task.json"] == [path.name for path in folder.iterdir()]


def test_one_at_a_time(folder: Path) -> None:
    """Until the first is gone, however it went."""
    first = job.locked(folder, 0.0)
    assert first is not None
    assert None is job.locked(folder, 0.05)
    os.close(first)
    second = job.locked(folder, 0.0)
    assert second is not None
    os.close(second)


def test_a_second_start_says_that_it_runs(folder: Path) -> None:
    """And keeps neither the token nor anything else."""
    (folder / "token").write_text(SECRET)
    (folder / "result.json").write_text("{}")
    held = job.locked(folder, 0.0)
    assert held is not None
    assert "running" == job.start(folder, job.fetched)
    os.close(held)
    assert (False, True) == ((folder / "token").exists(), (folder / "result.json").exists())


def test_who_starts_it_writes_its_number(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And takes away what an earlier one told."""
    for name in ("pid", "status.json", "result.json"):
        (folder / name).write_text("{}")
    monkeypatch.setattr(os, "fork", lambda: 4711)
    assert "started" == job.start(folder, job.fetched)
    left = sorted(path.name for path in folder.iterdir())
    assert (["lock", "pid", "task.json"], "4711\n") == (left, (folder / "pid").read_text())


def test_the_logins_settings_do_not_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A token, a cache, a mirror of the person who logs in are not ours."""
    monkeypatch.setattr(os, "environ", {"HF_TOKEN": "t", "HUGGING_FACE_HUB_TOKEN": "t", "A": "a"})
    monkeypatch.setattr(sys, "argv", ["p", "stop", str(folder)])
    before = os.umask(0o022)
    job.main(job.fetched)
    assert 0o077 == os.umask(before)
    assert "not running\n" == capsys.readouterr().out
    assert {"A": "a"} == {k: v for k, v in os.environ.items() if "_DISABLE_" not in k}
    assert "1" == os.environ["HF_HUB_DISABLE_XET"]


_HOLDER = """
import fcntl, os, signal, sys
os.setsid()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = open(sys.argv[1] + "/lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
signal.pause()
"""


def test_one_that_does_not_listen_is_killed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a grace."""
    monkeypatch.setattr(job, "GRACE_S", 0.1)
    argv = [sys.executable, "-c", _HOLDER, str(folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert "held\n" == holder.stdout.readline()
        (folder / "pid").write_text("no number")
        assert "still running" == job.stop(folder)
        (folder / "pid").write_text(f"{holder.pid}\n")
        assert "stopped" == job.stop(folder)
    assert -signal.SIGKILL == holder.returncode


def test_what_does_not_run_cannot_be_stopped(folder: Path) -> None:
    """It is said."""
    assert "not running" == job.stop(folder)


def test_progress_is_written_while_it_lasts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the newest plan, as soon as there is one."""
    monkeypatch.setattr(job, "LOOK_S", 0.01)
    path = folder / "status.json"
    with job.watched(path) as plans:
        plans.append(Plan(folder, "c", {"a": (7, "b")}))
        deadline = time.monotonic() + 10
        while not path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert {"done": 0, "total": 7} == json.loads(path.read_text())
