"""An engine that is served without a load, by hand: `fab serve` and what can be done with it."""

from __future__ import annotations

import json

import pytest

from provisioning.errors import HostError, UsageError
from tests.main_job.conftest import Stack, poll, sets

pytestmark = pytest.mark.integration


def test_a_model_is_served_tried_looked_at_and_ended(stack: Stack) -> None:
    """All tasks find it; nobody else gets the host; at its end nothing is left."""
    serve = stack.fab("serve")
    (run,) = stack.results.iterdir()
    told = stack.status()
    followed = stack.start("logs", "--engine", "--follow")
    smoke, logs = stack.fab("smoke"), stack.fab("logs")
    found = stack.fab("diagnose", "--json")
    bench, attach, collect = stack.fab("bench"), stack.fab("attach"), stack.fab("collect")
    stop = stack.fab("stop")

    assert 0 == serve.code, serve.said
    assert f"{stack.name} serves simulated-1b (run {run.name})." in serve.out
    assert "/engines/" in serve.out
    assert "engine: ready after" in serve.err
    assert run.name == told["serving"]
    assert (0, ["ok ", "ok ", "ok "]) == (smoke.code, [x[:3] for x in smoke.out.splitlines()])
    assert "Application startup complete." in logs.out
    assert ([], "") == (json.loads(found.out)["findings"], json.loads(found.out)["note"])
    assert (HostError.exit_code, UsageError.exit_code, UsageError.exit_code) == (
        bench.code,
        attach.code,
        collect.code,
    ), bench.said + attach.said
    assert 0 == stop.code, stop.said
    assert "is over; nothing was measured" in stop.out
    assert 0 == poll(lambda: None if followed.poll() is None else (followed.returncode,))[0]
    assert "Application startup complete." in (run / "home" / "server.log").read_text()
    assert None is stack.status()["lock"]


def test_a_teardown_does_not_wait_for_what_is_only_served(stack: Stack) -> None:
    """Nothing was measured: nothing can be lost."""
    assert 0 == stack.fab("serve", "--json").code
    done = stack.destroy()
    (run,) = stack.results.glob("*Z-*")

    assert 0 == done.code, done.said
    assert "served" == json.loads((run / "home" / "run.json").read_text())["state"]


def test_an_engine_that_does_not_start_is_explained(stack: Stack) -> None:
    """What it means, and what to do; `fab diagnose` says it again, though all is over."""
    serve = stack.fab("serve", *sets("engine.args.ttft_ms=nothing"))
    again = stack.fab("diagnose")

    assert 6 == serve.code, serve.said
    assert "The engine does not know one of its arguments" in serve.err
    assert "1. The engine does not know one of its arguments" in again.out
    assert "To do: Correct `engine.args` of the recipe" in again.out
