"""What a person sees of long work."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from bench_agent.protocol import RunStatus
from fabfile import console
from fabfile.terminal import Terminal


def _status(**changes: Any) -> RunStatus:
    values: dict[str, Any] = {
        "schema": 1,
        "run_id": "r",
        "state": "running",
        "pid": 1,
        "pid_started": 1,
        "boot_id": "b",
        "started_ns": 0,
        "updated_ns": 0,
        "planned_end_ns": 0,
        "point": "00-c4",
        "requested": 96,
        "completed": 12,
        "output_tokens_per_s": 372.6,
        "eta_s": 61.0,
    }
    return RunStatus(**(values | changes))


def test_the_load_is_told_by_point_requests_speed_and_time_left() -> None:
    """All in one line."""
    assert "00-c4, 12/96 requests, 373 tok/s, 61 s left" == console.load_line(_status())


def test_failed_requests_are_not_hidden() -> None:
    """They count as over, and are named."""
    line = console.load_line(_status(failed=3, eta_s=None))

    assert "00-c4, 15/96 requests, 373 tok/s, 3 failed" == line


def test_before_the_load_only_the_state_is_told() -> None:
    """No figures where there are none."""
    assert "calibrating" == console.load_line(_status(state="calibrating", completed=0))


def test_plain_lines_tell_each_phase(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no terminal, each phase is a line when it begins and when it ends."""
    lines = console.Lines()
    lines.phase("serve")
    lines.done("serve", 1.25)

    assert "serve …\nserve done in 1.2 s\n" == capsys.readouterr().err


def test_plain_lines_do_not_flood(capsys: pytest.CaptureFixture[str]) -> None:
    """The load's progress comes twice a second, and is said once in a while."""
    lines = console.Lines()
    for _ in range(50):
        lines.load(_status())

    assert 1 == len(capsys.readouterr().err.splitlines())


def test_json_progress_is_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output stays free for the result."""
    told = console.progress(as_json=True)
    told.note("hello")

    captured = capsys.readouterr()
    assert ({"progress": "hello"}, "") == (json.loads(captured.err), captured.out)


def test_a_terminal_keeps_done_phases_above_a_live_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 columns, without colour, every line fits."""
    screen = io.StringIO()
    terminal = Terminal()
    terminal._console = Console(file=screen, width=80, force_terminal=True, color_system=None)
    terminal.phase("load")
    terminal.load(_status())
    terminal.note("01-inf")
    terminal.done("load", 6.0)

    text = screen.getvalue()
    assert "✓ load (6.0 s)" in text
    assert "00-c4, 12/96 requests" in text
