"""Facts of hosts with GPUs and Docker, for tests: a fresh host, and what can be changed of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from provisioning.facts.compose import Kinds
from provisioning.facts.daemon_json import Settings
from provisioning.facts.docker import Daemon
from provisioning.facts.gpu_list import Listed
from provisioning.facts.gpus import Gpu
from provisioning.facts.groups import Membership
from provisioning.facts.nvidia_module import Module
from provisioning.facts.stores import Kept
from provisioning.facts.system import Machine
from provisioning.facts.toolkit import Installed
from provisioning.facts.units import Unit
from provisioning.host_schema import HostNeeds
from provisioning.needs import Needs
from provisioning.recipe_schema import Model
from stacks.outputs import Accelerator, HostOutput
from tests.provisioning.fakes import FakeHost

DEBIAN_12 = Machine(
    hostname="h",
    kernel="6.1.0-30-amd64",
    machine="x86_64",
    os="Debian GNU/Linux 12 (bookworm)",
    cpu="EPYC",
    cores=8,
    memory_mib=32768,
    boot_id="boot-1",
    distribution="debian",
    release="12",
    codename="bookworm",
)
DEBIAN_13 = replace(DEBIAN_12, os="Debian GNU/Linux 13 (trixie)", release="13", codename="trixie")
UBUNTU = replace(
    DEBIAN_12, os="Ubuntu 24.04.3 LTS", distribution="ubuntu", release="24.04", codename="noble"
)
RUNS = Unit("loaded", "active", "enabled", "a1")
STOPPED = Unit("loaded", "inactive", "enabled", "")
NONE = Unit()
ABSENT = (NONE, NONE, NONE)
ACTIVE = (RUNS, RUNS, NONE)
DAEMON = Daemon("user", version="20.10.24+dfsg1", root="/var/lib/docker", runtimes=("runc",))
TOOLKIT = Installed("1.20.1", "legacy")
RTX = Gpu(
    *(0, "NVIDIA RTX PRO 6000 Blackwell Server Edition", 97887, "580.95.05", "GPU-a", "12.0"),
    *(True, True, True, False, False, 600.0),
)
RTX_2 = replace(RTX, index=1, uuid="GPU-b")


def fresh(answers: Any = None, **changes: Any) -> FakeHost:
    """A host as a cloud makes it, Debian 12, one GPU with its driver, with *changes*."""
    facts: dict[str, Any] = {
        "Docker": None,
        "Compose": Kinds(),
        "DaemonJson": Settings(),
        "Groups": Membership("ubuntu", frozenset({"ubuntu", "sudo"})),
        "Units": ABSENT,
        "System": DEBIAN_12,
        "Stores": Kept(),
        "Toolkit": None,
        "Images": (),
        "Gpus": (RTX,),
        "GpuList": Listed(("GPU-a",)),
        "NvidiaModule": Module(1, "580.95.05"),
        "Record": None,
        "DebPackages": {"ca-certificates": "1"},
        "HalfInstalled": (),
        "AptSources": (),
        "AptKey": None,
        "AtPath": None,
    }
    return FakeHost(answers, **(facts | changes))


def served(answers: Any = None, **changes: Any) -> FakeHost:
    """The same with Docker, toolkit and group in place, with *changes*."""
    facts = {
        "Docker": replace(DAEMON, runtimes=("nvidia", "runc")),
        "DaemonJson": Settings(there=True, values={"runtimes": {"nvidia": {}}}),
        "Groups": Membership("ubuntu", frozenset({"docker"})),
        "Units": ACTIVE,
        "Toolkit": TOOLKIT,
    }
    return fresh(answers, **(facts | changes))


def needs(accelerator: Accelerator | None = None, **asked: Any) -> Needs:
    """What a recipe needs, and the stack's word on its GPUs."""
    wanted = HostNeeds.model_validate(asked)
    host = HostOutput("h", (), "a", 22, "u", (), "/w", accelerator=accelerator)
    data = "/data" if wanted.data_disk else "/w"
    return Needs(wanted, Model(name="m"), host, "/w", data)


def lines(commands: Any) -> list[str]:
    """Commands as they are shown."""
    return [str(command) for command in commands]
