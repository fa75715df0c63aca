"""A host with all that can run in the lab: what a recipe asks of it, and the hub of its model."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from stacks.outputs import DataDisk
from tests.lab import network
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab_tests.stacks import LabStack, stack_of
from tests.provisioning import hub as stand_in
from tests.provisioning.hub import Hub

DISK = "/dev/nvme1n1"
MODELS = ("o/first", "o/second")
SIZE = 20_000_000


def host(lab: Lab) -> LabHost:
    """A fresh one, with a GPU and a blank disk."""
    return lab.host(gpu="rtx-pro-6000x1", disks=1, disk_size="4G")


@contextmanager
def hub() -> Iterator[Hub]:
    """On the lab's network, with `MODELS`."""
    network.ensure()  # it goes with the last host of the tests before
    large = {"model.safetensors": SIZE}
    models = {name: stand_in.model(large) for name in MODELS}
    with stand_in.serving(models, bind=network.GATEWAY) as found:
        yield found


@contextmanager
def stack(folder: Path, *hosts: LabHost) -> Iterator[LabStack]:
    """The stack of *hosts*, for a `fab` whose engine wants the model's weights."""
    program = (sys.executable, "-m", "tests.lab_tests.fab_with_weights")
    with stack_of(folder, *hosts, data_disk=DataDisk(DISK, "/data")) as found:
        yield replace(found, program=program)


def asked(lab: Lab, hub: Hub, model: str = MODELS[0], **changes: Any) -> list[str]:
    """Arguments of `fab`: a recipe that asks for everything; *changes* to its section host."""
    mirror = {"url": lab.archive_url, "trusted": True}
    registries = [lab.registry]
    docker = {"source": "mirror", "mirror": mirror, "insecure_registries": registries}
    wanted: dict[str, Any] = {
        "gpu": {"count": 1},
        "data_disk": {},
        "packages": ["tree"],
        "docker": docker | {"compose": "plugin"},
        "toolkit": {"source": "mirror", "mirror": mirror},
        "images": [lab.image],
        "limits": {"nofile": 15000},
        "sysctl": {"vm.swappiness": 10},
        "hugepages": {"2048kB": 16},
    }
    values = {"host": wanted | changes, "model.name": model, "model.hub": hub.url}
    texts = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    return ["--recipe", "rehearsal", *(part for text in texts for part in ("--set", text))]
