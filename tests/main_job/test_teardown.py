"""Results before teardown, with a run that really happened."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.main_job.conftest import QUICK, Stack, poll, sets
from tests.main_job.runs import on_host, records

pytestmark = pytest.mark.integration
GUARD = "pulumi-python:dynamic:Guard"


@contextmanager
def _ssh_stopped(stack: Stack) -> Iterator[None]:
    """The machine exists, but its SSH server answers nobody."""
    pid = stack.host()["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _killed_in_the_middle(stack: Stack, prompts: int = 20) -> str:
    controller = stack.start("bench", *sets(*QUICK, f"load.points.0.num_prompts={prompts}"))
    run = poll(lambda: on_host(stack))
    controller.kill()
    controller.wait()
    return run.name


def test_destroy_waits_for_an_active_run_and_brings_it_home(stack: Stack) -> None:
    """`pulumi destroy` in the middle of a run: it ends as planned, its results are home."""
    run = _killed_in_the_middle(stack, prompts=200)

    done = stack.destroy()

    home = stack.results / run
    assert 0 == done.code, done.said
    assert "is active: waiting for its end" in done.said
    assert "done" == json.loads((home / "summary.json").read_text())["state"]
    assert 200 + 64 == len(records(home))


def test_destroy_refuses_while_results_are_only_there(stack: Stack) -> None:
    """With the host's SSH stopped nothing is deleted, the run and the way out are named."""
    run = _killed_in_the_middle(stack)
    with _ssh_stopped(stack):
        done = stack.destroy()

    assert 0 != done.code
    assert f"fab abandon --stack {stack.name} --run {run}" in " ".join(done.said.split())
    assert ["Guard", "Lease", "LocalHost"] == stack.kinds()
    assert 0 == stack.destroy().code
    assert 20 + 64 == len(records(stack.results / run))


def test_an_abandoned_run_lets_the_machine_go(stack: Stack) -> None:
    """After `fab abandon` an unreachable machine is destroyed without its results."""
    run = _killed_in_the_middle(stack)
    with _ssh_stopped(stack):
        refused = stack.destroy()
    said = stack.fab("abandon", "--run", run)
    os.kill(stack.host()["pid"], signal.SIGSTOP)

    done = stack.destroy()

    assert (True, 0, 0) == (refused.code != 0, said.code, done.code), done.said
    assert [] == stack.kinds()
    assert (stack.results / run / "ABANDONED").exists()


@pytest.mark.parametrize(
    ("changes", "code"), [(QUICK, 0), (("engine.args.no_such_flag=1",), 6)], ids=["well", "badly"]
)
def test_destroy_after_leaves_no_machine(stack: Stack, changes: tuple[str, ...], code: int) -> None:
    """`--destroy-after`: whether the run went well or not, the machine is gone."""
    done = stack.fab("bench", "--destroy-after", *sets(*changes))

    assert (code, []) == (done.code, stack.kinds()), done.said


def test_a_stack_without_its_guard_takes_no_run_until_it_is_back(stack: Stack) -> None:
    """A teardown that ended with the guard: `fab bench` refuses, `pulumi up` mends it."""
    targeted = stack.destroy("--target", f"urn:pulumi:{stack.name}::llm-dyno::{GUARD}::guard")
    refused = stack.fab("bench", *sets(*QUICK))
    stack.up()

    assert (0, 2) == (targeted.code, refused.code), targeted.said + refused.said
    assert 0 == stack.fab("bench", *sets(*QUICK)).code
