"""Tests of `start --resume`: a run that ended before it was through goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest

from bench_agent.protocol import Point, RunSpec, RunSummary
from bench_agent.storage import read_json
from bench_agent.wire import decode, encode
from tests.bench_agent.commands.agent import Agent, until
from tests.bench_agent.commands.test_run import (  # noqa: F401 - fixtures
    agent,
    archive,
    folder_of,
    started,
)
from tests.bench_agent.records import PATIENT, run_spec

pytestmark = pytest.mark.integration
Simulate = Callable[..., str]
POINTS = (Point("00-c2", 2, 2), Point("01-c2", 12, 2))


def resume(agent: Agent, spec: RunSpec) -> subprocess.CompletedProcess[bytes]:  # noqa: F811
    """Start it once more."""
    return agent.call("start", "--resume", stdin=json.dumps(encode(spec)).encode())


def plan(simulate: Simulate) -> RunSpec:
    """Two points; the second takes a while."""
    return run_spec(url=simulate(itl_ms=100.0), points=POINTS, limits=PATIENT, planned_s=60.0)


def killed(agent: Agent, spec: RunSpec) -> None:  # noqa: F811
    """A run that was killed in its second point."""
    pid = started(agent, spec)
    records = folder_of(agent).records("01-c2")
    until(lambda: records.exists() and records.read_bytes())
    os.kill(pid, signal.SIGKILL)
    until(lambda: agent.status().runs[0].state == "died")


def test_a_killed_run_is_taken_up(agent: Agent, simulate: Simulate) -> None:  # noqa: F811
    """Killed in its second point: the first is not measured again, the second is."""
    spec = plan(simulate)
    killed(agent, spec)
    kept = folder_of(agent).records("00-c2").read_bytes()
    done = resume(agent, spec)
    assert (0, b"") == (done.returncode, done.stderr)
    agent.follow(spec.run_id)
    found = decode(RunSummary, read_json(folder_of(agent).summary))

    assert ("done", [2, 12]) == (found.state, [p.completed for p in found.points])
    assert kept == folder_of(agent).records("00-c2").read_bytes()


def test_a_run_at_work_is_not_taken_up(agent: Agent, simulate: Simulate) -> None:  # noqa: F811
    """Its process goes on undisturbed."""
    spec = plan(simulate)
    pid = started(agent, spec)
    done = resume(agent, spec)

    assert (3, True) == (done.returncode, b"at work" in done.stderr)
    assert pid == agent.status().runs[0].status.pid  # type: ignore[union-attr]  # it has one


def test_two_that_take_a_run_up_at_once_do_not_both_get_it(
    agent: Agent,  # noqa: F811
    simulate: Simulate,
) -> None:
    """One goes on with it, the other is told."""
    spec = plan(simulate)
    killed(agent, spec)
    spec = replace(spec, context={"again": 1})
    text = json.dumps(encode(spec)).encode()
    argv = agent.argv("start", "--resume")
    both = [
        subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for each in both:
        each.communicate(text, timeout=30)
    agent.follow(spec.run_id)
    found = decode(RunSummary, read_json(folder_of(agent).summary))

    assert 1 == sum(each.returncode == 0 for each in both)
    assert [2, 12] == [p.requested for p in found.points]
