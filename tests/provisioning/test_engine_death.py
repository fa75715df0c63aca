"""An engine that is killed while it is under load; one that is served, looked at, and ended."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from bench_agent.protocol import RunStatus
from provisioning import bench, log_follow, recipe, rundir, served, serving, smoke
from provisioning.diagnosis import gather
from provisioning.errors import BenchError, HostError, LaunchError, UsageError
from provisioning.facts.lock import LockOwner
from provisioning.outcome import load_summary, require_fit
from provisioning.recipe_schema import Recipe
from provisioning.rundir import RunDir
from provisioning.site import Site
from reporting import page
from reporting.run import load

pytestmark = pytest.mark.integration
#: From the engine's death to the end of the run at home, all told.
WITHIN_S = 10.0


class Told:
    """A `Progress` that remembers, and calls when the load is under way."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.loaded = threading.Event()

    def phase(self, name: str) -> None:
        """Nothing."""

    def done(self, name: str, seconds: float) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        self.notes.append(text)

    def load(self, status: RunStatus) -> None:
        if status.completed >= 3:
            self.loaded.set()


def plan(*changes: str) -> Recipe:
    return recipe.load("rehearsal", ["load.workload.output_len=16", *changes])


def engine_of(run: RunDir) -> int:
    """The process of a run's engine."""
    return served.of(run).engines[0].pid


def test_a_killed_engine_fails_its_run_in_time(site: Site, tmp_path: Path) -> None:
    """Its last lines, a diagnosis, and what was measured before are at home; the host is free."""
    told, killed, opened = Told(), list[float](), list[RunDir]()

    def kill() -> None:
        assert told.loaded.wait(60)
        os.kill(engine_of(opened[0]), signal.SIGKILL)
        killed.append(time.monotonic())

    killer = threading.Thread(target=kill)
    killer.start()
    many = "load.points.0.num_prompts=100000"
    run = bench.bench(site, plan(many), tmp_path, told, opened=opened.append)
    took = time.monotonic() - killed[0]
    killer.join()
    with pytest.raises(BenchError) as failed:
        require_fit(run)
    error, summary = failed.value, load_summary(run)

    assert took < WITHIN_S
    assert ("failed", True) == (summary.state, run.whole)
    assert summary.points[0].completed >= 3
    assert "ended as failed. The engine died (process " in error.what
    assert '"POST /v1/completions HTTP/1.1" 200 OK' in error.log
    assert "The engine's process ended." in error.advice
    assert ["engine-gone"] == [one.name for one in gather.kept(run)]
    assert any("The engine died" in note for note in told.notes)
    assert any("The engine's process ended." in r for r in page.banner(load(run.path)).lines)
    assert site.host().fact(LockOwner) is None


def test_a_failed_start_is_explained(site: Site, tmp_path: Path) -> None:
    """By its log, once that is safe; the page shows it, too."""
    with pytest.raises(LaunchError) as failed:
        bench.bench(site, plan("engine.args.ttft_ms=nothing"), tmp_path, Told())
    (run,) = rundir.runs(tmp_path, "local")

    assert "ended before it was ready" in failed.value.what
    assert "The engine does not know one of its arguments" in failed.value.advice
    assert ["argument-unknown", "engine-gone"] == [one.name for one in gather.kept(run)]
    assert "ttft" in (run.home / "server.log").read_text()
    assert any("does not know one of its arg" in r for r in page.banner(load(run.path)).lines)


def test_a_served_engine_is_tried_followed_and_ended(site: Site, tmp_path: Path) -> None:
    """It is there for all tasks; nobody waits for its results; its host is in use until the end."""
    told = Told()
    run = serving.start(site, plan(), tmp_path, told)
    target = served.of(run)
    host = site.host()
    seen = smoke.smoke(host, target)
    said: list[str] = []
    with pytest.raises(HostError, match="in use by"):
        bench.bench(site, plan(), tmp_path / "other", Told())
    follower = threading.Thread(
        target=log_follow.follow,
        args=(site.host(), run.run_id, said.append),
        kwargs={"engine": True, "lines": 100},
    )
    follower.start()
    assert [] == [one.name for one in gather.failed(host, run)]
    assert (True, True) == (serving.serves(run), run.settled())
    assert run.run_id == rundir.find_open(tmp_path, "local", None).run_id
    with pytest.raises(UsageError, match="only serves"):
        serving.require_load(run)
    serving.stop(site, run, told)
    follower.join(20)

    assert not follower.is_alive()
    assert "Application startup complete." in " ".join(said)
    assert ("served", None) == (getattr(run.state(), "state", ""), site.host().fact(LockOwner))
    assert "Application startup complete." in (run.home / "server.log").read_text()
    assert not Path(f"/proc/{target.engines[0].pid}").exists()
    assert seen.failed is None
    assert any(note.startswith("engine: ready after") for note in told.notes)
    with pytest.raises(UsageError, match="`fab status` lists other runs"):
        serving.require_load(run)


def test_the_agents_log_is_followed_to_the_end_of_its_run(site: Site, tmp_path: Path) -> None:
    """A log that is not there is told."""
    run = bench.bench(site, plan("load.points.0.num_prompts=4"), tmp_path, Told())
    said: list[str] = []
    log_follow.follow(site.host(), run.run_id, said.append, engine=False, lines=5)
    with pytest.raises(UsageError, match="There is no log"):
        log_follow.follow(site.host(), "20260101T000000Z-x-0a1b", said.append, engine=True, lines=5)

    assert "done" == json.loads((run.path / "summary.json").read_text())["state"]


def test_a_machine_that_goes_ends_what_it_served(tmp_path: Path) -> None:
    """No run is for ever; and a stack that was destroyed has nothing to stop."""
    run = rundir.open_run(tmp_path, "local", "rehearsal", "me")
    run.change(state=serving.SERVING)
    rundir.end_serving(tmp_path, "local")

    assert not serving.serves(run)
