"""A server to put load on: what the host offers it, several of them, and their ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench_agent.protocol import EngineProcess
from provisioning import bench, needs, offers, recipe, serve
from provisioning.command import Secret
from provisioning.engines.base import Weights
from provisioning.errors import LaunchError
from provisioning.outcome import require_fit
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
