"""Calibration by itself: the host is ours meanwhile, and free again afterwards."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fabfile import client
from provisioning import agent, calibration, recipe
from provisioning.archive import pack
from provisioning.errors import BenchError, HostError, UsageError
from provisioning.facts.calibrations import Calibrations
from provisioning.facts.system import System
from provisioning.host import Host
from provisioning.operations import agent as agent_operations
from provisioning.remote import LocalRemote
from provisioning.site import Site
from tests.provisioning.test_bench import Told

pytestmark = pytest.mark.integration
#: An agent whose `calibrate` says what it was told, and who has the host.
ECHO = b"""
import json, sys
from pathlib import Path
def main():
    args = sys.argv[1:]
    owner = json.loads(Path(args[args.index("--workdir") + 1], "lock/owner.json").read_text())
    if "--force" in args:
        print("measuring", file=sys.stderr)
        sys.exit("It was not to be.")
    if "--nope" in args:
        print("--nope is none.", file=sys.stderr)
        sys.exit(2)
    print(json.dumps({"args": args, "run_id": owner["run_id"]}))
"""


#: An agent that writes down what it is asked, and cannot do with 77 streams.
NOTES = b"""
import json, sys
from pathlib import Path
def main():
    args = sys.argv[1:]
    Path(args[args.index("--workdir") + 1], "asked.json").write_text(json.dumps(args))
    if "77" in args:
        sys.exit("It was not to be.")
    print("{}")
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    files = {"bench_agent/__init__.py": b"", "bench_agent/cli.py": ECHO}
    made = agent.Archive(pack(files), "0" * 64)
    build: Callable[[], Any] = lambda: made  # noqa: E731 - one line is enough
    monkeypatch.setattr(agent, "build", build)
    return Site("url", LocalRemote(tmp_path), str(tmp_path / "w"))


def test_the_agent_is_asked_while_the_host_is_ours(site: Site) -> None:
    """It gets the arguments as they are; the lock is gone afterwards."""
    told = Told()

    found = calibration.calibrate(site, told, "--streams", "8")

    assert ["calibrate", "--streams", "8"] == found["args"][:3]
    assert "-calibration-" in found["run_id"]
    assert ["connect", "provision", "calibrate"] == told.phases
    assert not Path(site.workdir, "lock").exists()


def test_a_calibration_that_fails_is_told(site: Site) -> None:
    """In the agent's last words; the host is free again."""
    with pytest.raises(BenchError, match=r"could not be measured: It was not to be\."):
        calibration.calibrate(site, Told(), "--force")

    assert not Path(site.workdir, "lock").exists()


def test_arguments_that_the_agent_refuses_are_told(site: Site) -> None:
    """They are the user's to correct."""
    with pytest.raises(UsageError, match=r"^--nope is none\."):
        calibration.calibrate(site, Told(), "--nope")


def test_the_real_agent_measures_itself(tmp_path: Path) -> None:
    """A few streams for a moment: every figure of the table is there, and kept for the next."""
    place = Site("url", LocalRemote(tmp_path), str(tmp_path / "w"))
    argv = "--streams", "4", "--tokens-per-s", "200"

    found, known = (calibration.calibrate(place, Told(), *argv) for _ in range(2))

    assert 4 == found["streams"]
    assert "Load client on here, 4 streams" in next(client.lines(found, "here"))
    assert found["note"] or known["cached"], "a machine that was late itself is measured again"


def test_a_host_in_use_is_left_alone(site: Site) -> None:
    """Neither the run nor the calibration would measure anything."""
    lock = Path(site.workdir, "lock")
    lock.mkdir(parents=True)
    owner = {"who": "ann@far", "run_id": "r", "since": "2026-11-21T09:00:00Z"}
    (lock / "owner.json").write_text(json.dumps(owner))

    with pytest.raises(HostError, match="in use by ann@far"):
        calibration.calibrate(site, Told())

    assert lock.exists()


def test_a_run_finds_its_calibration_made(quiet: Site) -> None:
    """The step of a deploy asks the agent for the recipe's highest load, as a run would."""
    told: list[str] = []

    step(prepared(quiet), 64, told)

    assert ["calibrate", "--streams", "64"] == asked(quiet)[:3]
    assert [] == told


def test_a_calibration_that_is_known_costs_nothing(quiet: Site) -> None:
    """Nothing is said to the host."""
    key = {"agent_sha256": "0" * 64, "kernel": platform.release(), "streams": 64}
    host = prepared(quiet)
    Path(quiet.workdir, "calibration", "x.json").write_text(json.dumps({"key": key}))
    host.gather(Calibrations)
    before = host.remote.exchanges

    step(host, 64, [])
    other = host.fork()
    step(other, 65, [])

    assert ["calibrate", "--streams", "65"] == asked(quiet)[:3]
    assert before + 1 == host.remote.exchanges


def test_a_calibration_is_a_change_like_any_other(quiet: Site) -> None:
    """It stands in the audit log, counts as work, and is refused when the host is another's."""
    host = prepared(quiet)
    branch = host.fork()
    branch.fence = "ours"

    with pytest.raises(HostError, match="is gone"):
        step(branch, 64, [])
    assert not Path(quiet.workdir, "asked.json").exists()
    step(host, 64, [])

    audit = Path(quiet.workdir, "audit.log").read_text().splitlines()
    assert audit[-1].endswith("calibration: measure the load client with 64 streams")
    assert ["measure the load client with 64 streams"] == [str(c) for c in host.ran[-1:]]


def test_what_takes_the_processor_is_not_at_work_beside_a_measurement() -> None:
    """Images and models, which come from the network, are."""
    after = {*calibration.step(recipe.load("rehearsal")).after}
    assert {"packages", "docker", "python_env", "data", "agent"} <= after
    assert not {"images", "model"} & after


def test_a_calibration_that_fails_is_left_to_the_run(quiet: Site) -> None:
    """The host is fit all the same; a person is told."""
    told: list[str] = []

    step(prepared(quiet), 77, told)

    assert [True] == [text.endswith("It was not to be. The run tries again.") for text in told]


@pytest.fixture
def quiet(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A place whose agent writes down what it was asked."""
    files = {"bench_agent/__init__.py": b"", "bench_agent/cli.py": NOTES}
    made = agent.Archive(pack(files), "0" * 64)
    build: Callable[[], Any] = lambda: made  # noqa: E731 - one line is enough
    monkeypatch.setattr(agent, "build", build)
    return site


def prepared(site: Site) -> Host:
    """The host, with its agent on it."""
    host = site.host()
    made = agent.build()
    host.execute(*agent_operations.shipped(host, made.name, made.data), label="agent")
    host.gather(System)
    return host


def asked(site: Site) -> list[str]:
    """What the agent was asked last."""
    found: list[str] = json.loads(Path(site.workdir, "asked.json").read_text())
    return found


def step(host: Host, streams: int, told: list[str]) -> None:
    """The step's own work, for a recipe whose highest load is so many streams."""
    chosen = recipe.load("rehearsal", [f"load.points.1.num_prompts={streams}"])
    run = calibration.step(chosen).run
    assert run is not None
    run(host, told.append)
