"""What is refused before anything is changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioning.deploys import preflight
from provisioning.errors import HostError
from provisioning.facts.block_devices import BlockDevices, Device, Disks
from provisioning.facts.model_cache import Cached
from provisioning.facts.mounts import Mount
from provisioning.facts.python_env import Environment
from provisioning.facts.space import Space
from provisioning.facts.system import Machine
from provisioning.host_schema import HostNeeds
from provisioning.needs import Needs
from provisioning.recipe_schema import Model
from stacks.outputs import DataDisk, HostOutput
from tests.provisioning.fakes import FakeHost

GB = 10**9
MACHINE = Machine(
    "h", "6.1", "x86_64", "Debian GNU/Linux 12 (bookworm)", "cpu", 4, 16384, "b", "debian", "12"
)
STACK = HostOutput("h", (), "10.0.0.1", 22, "me", (), "/w", data_disk=DataDisk("/dev/vdb", "/data"))
BLANK = Device("/dev/vdb", "disk", 100 * GB, holds="")
MODEL = Model(name="org/model")


def needs(model: str = "simulated", port: int | None = None, **asked: Any) -> Needs:
    data = "/data" if "data_disk" in asked else "/w"
    wanted = HostNeeds.model_validate(asked)
    return Needs(wanted, Model(name=model), STACK, "/w", data, port=port)


def refused(host: FakeHost, asked: Needs) -> str | None:
    """What the check says; None when it says nothing."""
    (step,) = preflight.steps(asked)
    assert (True, None) == (step.check is not None, step.run)
    try:
        step.check(host)  # type: ignore[misc] # it is there
    except HostError as error:
        return error.what if error.advice else f"no advice for: {error.what}"
    return None


@pytest.mark.parametrize(
    ("distribution", "release"),
    [("debian", "12"), ("debian", "13"), ("ubuntu", "22.04"), ("ubuntu", "24.04")],
)
def test_supported_distributions_pass(distribution: str, release: str) -> None:
    """And both processors."""
    known = replace(MACHINE, distribution=distribution, release=release, machine="aarch64")
    assert refused(FakeHost(System=known), needs(docker={})) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"os": "Fedora 43", "distribution": "fedora", "release": "43"}, "runs Fedora 43, which"),
        ({"os": "Debian 11", "release": "11"}, "runs Debian 11, which is not supported"),
        ({"os": "", "distribution": "", "release": ""}, "no distribution that tells its name"),
        ({"machine": "riscv64"}, "a processor that is not supported (riscv64)"),
    ],
)
def test_others_are_named(change: dict[str, str], says: str) -> None:
    """Where something is to be installed or set."""
    host = FakeHost(System=replace(MACHINE, **change))
    assert says in str(refused(host, needs(docker={})))
    assert says in str(refused(host, needs(time_sync=True)))
    assert refused(host, needs(memory_gb=1)) is None


def test_a_dry_run_lists_the_wait_for_a_first_boot() -> None:
    """Any other deploy has waited before; a second time would be for nothing."""
    (step,) = preflight.steps(needs())
    (waits,) = step.operations
    dry = FakeHost(CloudInit=True)
    dry.dry_run = True
    assert ["wait for cloud-init"] == [str(each) for each in waits(dry)]
    assert [] == list(waits(FakeHost(CloudInit=True)))


def test_memory_is_compared_in_gigabytes() -> None:
    """16384 MiB are 17.2 GB."""
    host = FakeHost(System=MACHINE)
    assert refused(host, needs(memory_gb=17)) is None
    assert "fake-host has 17 GB of memory, and the recipe needs 18 GB." == refused(
        host, needs(memory_gb=18)
    )


def test_a_port_in_use_is_said() -> None:
    """Only where the recipe sets it."""
    host = FakeHost(System=MACHINE, PortsInUse=frozenset({8000}))
    assert refused(host, needs(port=8001)) is None
    assert "Port 8000 of fake-host is in use." == refused(host, needs(port=8000))


def test_room_must_be_where_data_goes() -> None:
    """In the working folder, without a data disk."""
    host = FakeHost({Space("/w"): 9 * GB}, System=MACHINE)
    assert refused(host, needs(free_disk_gb=9)) is None
    assert "/w of fake-host has 9.0 GB left, and the recipe needs 9.5 GB." == refused(
        host, needs(free_disk_gb=9.5)
    )


def with_model(cached: Cached, reason: str = "", **facts: Any) -> FakeHost:
    known: dict[str, Any] = {"PythonEnv": None, "Images": ()} | facts
    closed = {"https://huggingface.co": reason} if reason else {}
    return FakeHost(System=MACHINE, ModelCache=cached, Egress=closed, Space=9 * GB, **known)


def test_what_is_there_already_needs_no_more_room() -> None:
    """A part of the model counts; all that is bulky there, and nothing is asked."""
    asked = needs("org/model", free_disk_gb=12)
    part = Cached(complete=False, bytes=2 * GB, leftover_bytes=GB)
    assert refused(with_model(part), asked) is None
    assert "9.0 GB left" in str(refused(with_model(replace(part, bytes=0)), asked))
    assert refused(with_model(Cached(complete=True)), asked) is None
    both = needs("org/model", free_disk_gb=12, python={"packages": ["a==1"]})
    there = Environment("3.11.2", ())
    assert refused(with_model(Cached(complete=True), PythonEnv=there), both) is None
    assert "9.0 GB left" in str(refused(with_model(Cached(complete=True), PythonEnv=None), both))
    images = needs("org/model", free_disk_gb=12, images=["a/b:1"])
    assert "9.0 GB left" in str(refused(with_model(Cached(complete=True), Images=()), images))


def disk_host(*devices: Device, place: str = "empty") -> FakeHost:
    answers = {BlockDevices(("/dev/vdb",)): Disks(devices), Space("/data"): 9 * GB}
    mounts = tuple(Mount(m, "ext4", d.path, read_only=False) for d in devices for m in d.mounts)
    return FakeHost(answers, System=MACHINE, Mounts=mounts, Fstab=(), Place=place, DebPackages={})


def test_a_blank_disk_has_the_room_of_its_size() -> None:
    """Little less; one that is mounted is asked, one that is not yet cannot be."""
    blank = disk_host(BLANK)
    assert refused(blank, needs(data_disk={}, free_disk_gb=96)) is None
    assert "97.0 GB left" in str(refused(blank, needs(data_disk={}, free_disk_gb=99)))
    full = replace(BLANK, filesystem="ext4", holds="holds ext4")
    assert refused(disk_host(full), needs(data_disk={}, free_disk_gb=99)) is None
    mounted = disk_host(replace(full, mounts=("/data",)))
    assert "9.0 GB left" in str(refused(mounted, needs(data_disk={}, free_disk_gb=10)))


def test_a_disk_that_will_not_do_is_not_this_steps_to_say() -> None:
    """The step `disks` does."""
    swap = replace(BLANK, filesystem="swap", holds="holds swap")
    assert refused(disk_host(swap), needs(data_disk={}, free_disk_gb=1)) is None


def test_an_array_has_the_room_of_its_disks() -> None:
    """Before it is made."""
    disks = [Device(f"/dev/nvme{n}n1", "disk", 100 * GB, holds="") for n in (1, 2)]
    answers = {BlockDevices((), every=True): Disks(tuple(disks))}
    host = FakeHost(answers, System=MACHINE, Mounts=(), Space=0)
    asked = replace(needs(data_disk={"join_nvme": True}, free_disk_gb=190), host=None)
    assert refused(host, asked) is None


def test_the_hub_must_be_reached_for_a_model_that_is_not_there() -> None:
    """Which hub, which model, and why not."""
    asked = needs("org/model")
    cold, warm = Cached(complete=False), Cached(complete=True)
    assert refused(with_model(cold), asked) is None
    assert refused(with_model(warm, "timed out"), asked) is None
    what = str(refused(with_model(cold, "timed out"), asked))
    assert "does not reach https://huggingface.co, where the model org/model is (timed out)" in what


def test_facts_are_asked_only_where_they_count() -> None:
    """Nothing of networks, ports or disks for a recipe that says nothing of them."""
    (step,) = preflight.steps(needs())
    assert {"System", "CloudInit"} == {type(fact).__name__ for fact in step.facts}
    (step,) = preflight.steps(needs("org/model", port=1, free_disk_gb=1, images=["a"]))
    asked = {type(fact).__name__ for fact in step.facts}
    assert asked >= {"PortsInUse", "Space", "Images", "ModelCache", "Egress"}
    (step,) = preflight.steps(needs(data_disk={}, free_disk_gb=1, python={"packages": ["a==1"]}))
    asked = {type(fact).__name__ for fact in step.facts}
    assert asked >= {"BlockDevices", "PythonEnv"}
