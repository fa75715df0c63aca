"""Several hosts at once, each in lines of its own."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from fabfile import hosts_shown
from fabfile.live_hosts import LiveHosts
from provisioning.deploys.report import Report, StepReport

CHANGED = StepReport("docker", ("install docker-ce",), 3.0, changed=True)


def test_plain_lines_name_host_and_step(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, one at a time."""
    with hosts_shown.lines(["a", "b"], as_json=False) as tell:
        tell("a", "docker", "installing")
        tell("b", "", "Taking over the lock.")
    assert "a docker: installing\nb: Taking over the lock.\n" == capsys.readouterr().err


def test_json_lines_leave_standard_output_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """It is for the result."""
    with hosts_shown.lines(["a"], as_json=True) as tell:
        tell("a", "docker", "installing")
    captured = capsys.readouterr()
    assert {"host": "a", "step": "docker", "progress": "installing"} == json.loads(captured.err)
    assert "" == captured.out


def test_a_terminal_gets_live_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where standard error is one."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with hosts_shown.lines(["a"], as_json=False) as tell:
        assert isinstance(getattr(tell, "__self__", None), LiveHosts)


def test_nothing_to_change_is_said() -> None:
    """With the time it took to see that."""
    report = Report("lab-1", (StepReport("docker"),), 0.24)
    assert ["lab-1: nothing to change (0.2 s)"] == list(hosts_shown.summary(report))


def test_what_changed_is_said_within_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step, cut where there are too many."""
    monkeypatch.setenv("COLUMNS", "80")
    assert ["lab-1: changed docker (9.5 s)"] == list(
        hosts_shown.summary(Report("lab-1", (CHANGED,), 9.5))
    )
    many = tuple(StepReport(f"step-{n:02}", changed=True) for n in range(20))
    (line,) = hosts_shown.summary(Report("lab-1", many, 1.0))
    assert (80, "…") == (len(line), line[-1])


def test_a_dry_run_lists_commands_by_step() -> None:
    """Steps without work are left out; what cannot be told is said to be so."""
    model = StepReport("model", changed=True, more=True)
    report = Report("lab-1", (CHANGED, StepReport("limits"), model), 0.2, dry_run=True)
    assert [
        "lab-1: would run",
        "  docker:",
        "    install docker-ce",
        "  model:",
        "    … and what follows from that",
    ] == list(hosts_shown.summary(report))


def test_live_lines_fit_and_what_is_over_stays() -> None:
    """One line a host at 80 columns, however much is going on there."""
    screen = io.StringIO()
    console = Console(file=screen, width=80, force_terminal=True, color_system=None)
    with LiveHosts(["lab-1", "lab-22"], console) as live:
        live.tell("lab-1", "docker", "x" * 100)
        live.tell("lab-1", "packages", "installing")
        live.tell("lab-1", "docker", "done in 9.5 s")
        live.tell("lab-22", "", "Taking over the lock.")
        live.tell("lab-22", "images", "x")
        live.tell("lab-22", "images", "goes on by itself on the host")
        shown = [live._line(host).plain for host in ("lab-1", "lab-22")]
    assert ["lab-1   packages: installing", "lab-22  …"] == shown
    text = screen.getvalue()
    assert "lab-1   docker done in 9.5 s" in text
    assert "lab-22  Taking over the lock." in text
    assert "lab-22  images goes on by itself on the host" in text


def test_a_long_live_line_is_cut() -> None:
    """It never takes two."""
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    live = LiveHosts(["lab-1"], console)
    live.tell("lab-1", "docker", "x" * 100)
    assert 80 == len(live._line("lab-1"))
