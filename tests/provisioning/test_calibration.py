"""Calibration by itself: the host is ours meanwhile, and free again afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fabfile import client
from provisioning import agent, calibration
from provisioning.archive import pack
from provisioning.errors import BenchError, HostError, UsageError
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
