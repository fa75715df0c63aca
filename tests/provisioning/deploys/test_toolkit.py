"""The steps `toolkit` and `gpu-proof`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from provisioning.command import Command
from provisioning.deploys import toolkit
from provisioning.deploys.step import Step
from provisioning.errors import HostError, UsageError
from provisioning.facts.daemon_json import Settings
from provisioning.facts.gpu_list import Listed, Slice
from provisioning.facts.images import Image
from provisioning.facts.units import Unit
from provisioning.remote import Completed
from tests.provisioning.fakes import FakeHost
from tests.provisioning.gpu_hosts import DAEMON, NONE, RTX, TOOLKIT, fresh, lines, needs, served

IMAGES = (Image("x", "1", "sha256:d", "sha256:i"),)
ONE = "GPU 0: NVIDIA RTX PRO 6000 Blackwell Server Edition (UUID: GPU-a)\n"
OF: dict[str, Any] = {
    "docker": ["20.10.24+dfsg1", "a1"],
    "toolkit": ["1.20.1", "legacy"],
    "image": "sha256:d",
    "gpus": [["GPU-a", "580.95.05", False]],
}


def steps(**asked: Any) -> tuple[Step, ...]:
    return toolkit.steps(needs(**{"docker": {}, "toolkit": {}, **asked}))


def answering(said: str, **facts: Any) -> FakeHost:
    """A host whose containers print *said*."""
    host = served(**({"Images": IMAGES} | facts))
    keep = host.execute

    def execute(*commands: Command, label: str, timeout_s: Any = None) -> tuple[Completed, ...]:
        keep(*commands, label=label)
        return tuple(Completed(0, said, "") for _ in commands)

    host.execute = execute  # type: ignore[method-assign]
    return host


def prove(host: FakeHost) -> list[str]:
    """Run the proof; what was told."""
    told: list[str] = []
    _, proof = steps(images=["x:1"])
    assert proof.run is not None
    proof.run(host, told.append)
    return told


def check() -> Callable[[Any], None]:
    found = steps()[0].check
    assert found is not None
    return found


def test_a_toolkit_that_is_not_asked_for_is_no_step() -> None:
    """Nothing is asked."""
    assert () == toolkit.steps(needs(docker={}))


def test_its_order_is_docker_toolkit_proof() -> None:
    """Without an image there is nothing to prove it with."""
    one, proof = steps(images=["x:1", "y:2"])
    assert ["toolkit"] == [step.name for step in steps()]
    assert ("docker",) == one.after
    assert {"toolkit", "images", "gpu"} <= set(proof.after)


def test_a_fresh_host_gets_it_and_docker_is_told() -> None:
    """Installed from NVIDIA, then written into Docker's file."""
    (step,) = steps()
    found = [line for operation in step.operations for line in lines(operation(fresh()))]
    assert "install nvidia-container-toolkit" in found
    assert "sudo -n nvidia-ctk runtime configure --runtime=docker" == found[-1]


def test_a_host_where_all_is_so_hears_nothing() -> None:
    """Not one command."""
    (step,) = steps(toolkit={"mode": "legacy"})
    assert [] == [c for operation in step.operations for c in operation(served())]


def test_no_distribution_has_it() -> None:
    """Said before any host is asked."""
    with pytest.raises(UsageError, match="Neither Debian nor Ubuntu has a package"):
        steps(toolkit={"source": "distribution"})


@pytest.mark.parametrize(
    ("host", "asked", "what"),
    [
        (fresh(), {"docker": None}, "there is no Docker on the host"),
        (fresh(), {"toolkit": {"source": "present"}}, "There is no NVIDIA Container Toolkit"),
        (
            served(Toolkit=replace(TOOLKIT, whole=False)),
            {"toolkit": {"source": "present"}},
            "There is half an NVIDIA Container Toolkit",
        ),
        (
            served(),
            {"toolkit": {"version": "1.17.8-1"}},
            "NVIDIA Container Toolkit 1.20.1 is on the host, and the recipe asks for 1.17.8-1",
        ),
        (
            served(Toolkit=None, Docker=replace(DAEMON, running=2)),
            {},
            "Docker must be restarted for NVIDIA's toolkit, and 2 containers run",
        ),
        (served(DaemonJson=Settings(there=True, trouble="x")), {}, "are not JSON: x"),
    ],
)
def test_what_cannot_be_brought_about_is_refused_before_anything_is_changed(
    host: FakeHost, asked: dict[str, Any], what: str
) -> None:
    """One sentence on what is wrong."""
    refuse = steps(**asked)[0].check
    assert refuse is not None
    with pytest.raises(HostError) as caught:
        refuse(host)
    assert what in caught.value.what


@pytest.mark.parametrize(
    "host",
    [fresh(), served(), served(Toolkit=None), served(Docker=replace(DAEMON, running=2))],
    ids=["fresh", "all there", "no container in the way", "containers, but it is there"],
)
def test_other_hosts_are_accepted(host: FakeHost) -> None:
    """Nothing is in the way."""
    check()(host)


def test_a_container_that_sees_the_gpus_is_the_proof() -> None:
    """Without network, from the image that is there; written down with what it holds for."""
    host = answering(ONE)
    assert ["a container sees 1 GPUs"] == prove(host)
    run, _, write = host.ran
    assert "docker run --rm --pull=never --network=none --gpus=all" in str(run)
    assert str(run).endswith("--entrypoint=nvidia-smi x:1 -L")
    assert OF == json.loads(write.payload())


@pytest.mark.integration
@pytest.mark.parametrize(("code", "expected"), [(0, 0), (14, 0), (15, 15)])
def test_a_corrupt_inforom_does_not_spoil_the_proof(code: int, expected: int) -> None:
    """It is warned of; the GPUs are listed all the same."""
    listing = toolkit._listing(Command("sh", "-c", f"exit {code}", sudo=True))
    assert listing.sudo
    assert expected == subprocess.run(listing.argv, check=False).returncode


def test_the_proof_holds_until_something_changes() -> None:
    """No container is started again."""
    host = answering(ONE, Record=OF)
    assert ([], []) == (prove(host), host.ran)


@pytest.mark.parametrize(
    "change",
    [
        {"Units": (Unit("loaded", "active", "enabled", "b2"), NONE, NONE)},
        {"Docker": replace(DAEMON, version="28.5.2")},
        {"Toolkit": replace(TOOLKIT, version="1.21.0")},
        {"Gpus": (replace(RTX, driver="595.1"),)},
        {"Images": (Image("x", "1", "sha256:e", "sha256:j"),)},
    ],
    ids=["docker restarted", "docker", "toolkit", "driver", "image"],
)
def test_what_it_rests_on_has_changed(change: dict[str, Any]) -> None:
    """Then it is proven once more."""
    assert ["a container sees 1 GPUs"] == prove(answering(ONE, Record=OF, **change))


@pytest.mark.parametrize(
    ("said", "listed", "what"),
    [
        ("", Listed(("GPU-a",)), "A container sees 0 of the host's 1 GPUs."),
        (ONE, Listed(("GPU-a", "GPU-b")), "A container sees 1 of the host's 2 GPUs."),
        (
            ONE,
            Listed(("GPU-a",), (Slice(0, "4g.96gb", "MIG-1"),)),
            "A container sees 1 of the host's 1 GPUs and 0 of its 1 MIG slices.",
        ),
        ("", Listed(), "A container sees 0 of the host's 0 GPUs."),
    ],
)
def test_a_container_that_sees_less_is_refused(said: str, listed: Listed, what: str) -> None:
    """Nothing is written down then."""
    host = answering(said, GpuList=listed)
    with pytest.raises(HostError) as caught:
        prove(host)
    assert (what, 1) == (caught.value.what, len(host.ran))


def test_a_dry_run_starts_no_container() -> None:
    """It is among what would be done."""
    host = answering(ONE)
    host.dry_run = True
    assert ([], 1) == (prove(host), len(host.ran))


def test_the_manifest_is_told_what_the_toolkit_is() -> None:
    """Without a mode of its own it chooses one: auto."""
    asked = needs(toolkit={})
    assert {"version": "1.20.1", "mode": "legacy"} == toolkit.about(served(), asked)
    unset = replace(TOOLKIT, mode="")
    assert "auto" == toolkit.about(served(Toolkit=unset), asked)["mode"]
    assert [{}, {}] == [toolkit.about(fresh(), asked), toolkit.about(served(), needs())]
