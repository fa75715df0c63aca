"""A server to put load on: what the host offers it, several of them, and their ends."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench_agent.protocol import EngineProcess
from provisioning import bench, exchange, holding, needs, offers, recipe, rundir, serve
from provisioning.command import Command, Secret
from provisioning.engines.base import Weights
from provisioning.errors import LaunchError
from provisioning.facts.lock import LockOwner
from provisioning.outcome import require_fit
from provisioning.progress import Phases
from provisioning.recipe_schema import Recipe
from provisioning.remote import LocalRemote
from provisioning.rundir import RunDir
from provisioning.site import Site
from tests.provisioning import gpu_hosts
from tests.provisioning.test_bench import Told

KEY = Secret("k3y-k3y-k3y-k3y")


def small(*changes: str) -> Recipe:
    few = [f"load.points.{n}.num_prompts=8" for n in (0, 1)]
    return recipe.load("rehearsal", [*few, "load.workload.output_len=16", *changes])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    remote = LocalRemote(tmp_path)
    yield Site("local", remote, str(tmp_path / "host"))
    remote.close()


def manifest(run: RunDir) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.path / "manifest.json").read_text())
    return found


@pytest.mark.integration
def test_two_instances_are_one_target(site: Site, tmp_path: Path) -> None:
    """Both are loaded, both are watched; the log of the second comes home on its own."""
    run = bench.bench(site, small("layout.instances=2"), tmp_path / "results", Told())

    summary = require_fit(run)
    about = manifest(run)
    target, layout = about["spec"]["target"], about["context"]["layout"]
    engines = {engine["id"]: engine["port"] for engine in layout["engines"]}
    assert [run.run_id, f"{run.run_id}.1"] == list(engines)
    assert [f"http://127.0.0.1:{port}" for port in engines.values()] == target["base_urls"]
    assert 2 == len({EngineProcess(**each) for each in target["engines"]})
    assert [8, 8] == [point.completed for point in summary.points]
    logs = [(run.path / "server.log"), (run.home / "server.1.log")]
    assert all(log.stat().st_size for log in logs)
    assert not (run.home / "server.log").exists()


@pytest.mark.integration
def test_the_logs_of_all_are_kept_when_one_fails(site: Site, tmp_path: Path) -> None:
    """Which it was is said, and what each had to say is at home; none is left."""
    wrong = "engine.args.no_such_flag=1"
    with pytest.raises(LaunchError, match=r"engine [12] of 2"):
        bench.bench(site, small("layout.instances=2", wrong), tmp_path / "results", Told())
    (run,) = (RunDir(path) for path in (tmp_path / "results" / "local").iterdir())
    logs = [(run.home / name).read_text() for name in ("server.log", "server.1.log")]
    assert any("no-such-flag" in log for log in logs)
    assert {"server.log", "server.1.log"} == {path.name for path in run.home.glob("*.log")}
    assert "failed" == getattr(run.state(), "state", "")


@pytest.mark.parametrize(
    ("changes", "ports"),
    [
        ((), [None, None]),
        (("engine.port=8000",), [8000, 8001]),
        (("engine.port=8000", "layout.front=nginx"), [None, None]),
    ],
)
def test_a_port_of_the_recipe_is_where_it_answers(
    changes: tuple[str, ...], ports: list[int | None]
) -> None:
    """Of nginx, if that is in front; else the first's, and the next have the next."""
    asked = small("layout.instances=2", *changes)
    wanted = needs.of(asked, None, "/w")
    offered = offers.offers(gpu_hosts.fresh(Pythons=PYTHONS), asked, wanted, KEY)
    assert ports == [spec.port for spec in serve._specs(asked, offered, "run").values()]


PYTHONS: Any = None


@pytest.fixture(autouse=True)
def _python(monkeypatch: pytest.MonkeyPatch) -> None:
    class Found:
        path = "/usr/bin/python3"

    monkeypatch.setattr(offers, "usable", lambda *_: Found)


def test_a_host_offers_what_was_brought(monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment, weights, caches: below the data disk; GPUs by instance."""
    asked = small(
        'host={"python": {"packages": ["vllm==1"]}, "data_disk": {}, "gpu": {}}',
        "layout.instances=2",
        "model.name=org/model",
    )
    wanted = replace(needs.of(asked, None, "/w"), weights=True)
    about = {"path": "/data/models/hub/x", "commit": "abc"}
    monkeypatch.setattr("provisioning.offers.model.about", lambda *_: about)
    two = (gpu_hosts.RTX, gpu_hosts.RTX_2)
    host = gpu_hosts.served(Gpus=two, Pythons=PYTHONS)

    first, second = offers.offers(host, asked, wanted, KEY)

    assert (("0",), ("1",)) == (first.gpus, second.gpus)
    assert first == replace(second, gpus=("0",))
    assert Weights("/data/models/hub/x", "/data/models", "abc") == first.weights
    assert "/data/cache" == first.cache
    assert str(first.environment).startswith("/data/environments/")
    assert (KEY, None, {}) == (first.api_key, first.image, first.gpu_env)


def test_a_folder_is_offered_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is part of no cache."""
    asked = small("model.path=/models/mine")
    wanted = replace(needs.of(asked, None, "/w"), weights=True)
    monkeypatch.setattr(
        "provisioning.offers.model.about", lambda *_: {"path": "/models/mine", "bytes": 1}
    )
    assert Weights("/models/mine") == offers.weights(gpu_hosts.fresh(), wanted)


def test_without_weights_there_is_no_model_and_no_cache() -> None:
    """The simulator's."""
    asked = small()
    host = gpu_hosts.fresh(Pythons=PYTHONS)
    (site,) = offers.offers(host, asked, needs.of(asked, None, "/w"), KEY)
    assert (None, None, None, ()) == (site.weights, site.cache, site.environment, site.gpus)


RUN = "20260101T000000Z-rehearsal-0a1b"
#: An engine that is there: it says that it was stopped.
STOPS = 'touch "${0%/*}/stopped"'


@pytest.fixture
def url_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A host that nothing has to be brought to."""
    monkeypatch.setattr(serve, "_brought", lambda *_: ())
    return Site("local", LocalRemote(tmp_path), str(tmp_path / "host"), url="http://127.0.0.1:9")


def engine_of(tmp_path: Path, run_id: str) -> Path:
    """The folder of an engine of *run_id*."""
    folder = tmp_path / "host" / "engines" / run_id
    folder.mkdir(parents=True)
    (folder / "engine.sh").write_text(STOPS)
    return folder


def test_an_engine_that_is_being_started_is_waited_for(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its start goes on when `fab` was cut off: it is told, and stopped once it is there."""
    monkeypatch.setattr(holding, "_POLL_S", 0.02)
    folder = tmp_path / "host" / "engines" / RUN
    folder.mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe")
    work = Command.shell('cat "$1" >"$2"', str(tmp_path / "pipe"), f"{folder}/engine.sh")
    script = exchange.changing([work], site.workdir, "b0", "me")
    with subprocess.Popen(["/bin/sh", "-c", exchange.SHELL], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(script.encode())
        process.stdin.close()
        pipe = (tmp_path / "pipe").open("w")
        said: list[str] = []

        def note(text: str) -> None:
            said.append(text)
            pipe.write(STOPS)
            pipe.close()

        serve.release(site, RUN, note=note)
        pipe.close()
    assert ["still going on" in text for text in said] == [True]
    assert (folder / "stopped").exists()


def test_a_host_that_is_not_given_back_is_told(
    url_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what tries again; what failed before it is the error still."""

    def stays(*_: object, **__: object) -> None:
        raise LaunchError("The engine stays.", "Look.")

    monkeypatch.setattr(serve, "release", stays)
    told, run = Told(), rundir.open_run(tmp_path, "local", "rehearsal", "me")
    with pytest.raises(KeyboardInterrupt), serve.prepared(url_site, small(), run, Phases(told)):
        raise KeyboardInterrupt
    again = f"`fab stop --stack local --run {run.run_id}` tries again."
    assert [f"The host was not given back: The engine stays. {again}"] == told.notes


def test_ctrl_c_right_after_the_lock_was_taken_frees_it(
    url_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the run has anything else on the host."""
    run, owners = rundir.open_run(tmp_path, "local", "rehearsal", "me"), []

    def interrupted(*_: object) -> None:
        owners.append(url_site.host().fact(LockOwner))
        raise KeyboardInterrupt

    monkeypatch.setattr(serve, "_tell_shipped", interrupted)
    with (
        pytest.raises(KeyboardInterrupt),
        serve.prepared(url_site, small(), run, Phases(Told())),
    ):
        raise AssertionError
    assert [run.run_id] == [owner and owner.run_id for owner in owners]
    assert url_site.host().fact(LockOwner) is None


@pytest.mark.parametrize("boot", ["0e5f54b1-another-boot", ""])
def test_an_engine_that_came_back_with_its_host_is_stopped(
    url_site: Site, tmp_path: Path, boot: str
) -> None:
    """A run's that lost its lock by a new boot; where the lock is free, nothing is asked."""
    back = engine_of(tmp_path, RUN)
    if boot:
        lock = tmp_path / "host" / "lock"
        lock.mkdir()
        (lock / "beat").write_text(f"{boot} 1\n")
        (lock / "owner.json").write_text(json.dumps({"who": "a", "run_id": RUN, "since": "now"}))
    run = rundir.open_run(tmp_path, "local", "rehearsal", "me")
    with serve.prepared(url_site, small(), run, Phases(Told())):
        pass
    assert bool(boot) == (back / "stopped").exists()
    assert (3 if boot else 2) == url_site.remote.exchanges
