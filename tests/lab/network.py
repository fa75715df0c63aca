"""The lab's own network on this machine, and a free place on it."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from contextlib import suppress

from tests.lab.engine import docker
from tests.lab.machine import LabError

NAME = "llm-dyno-lab"
PREFIX = "10.77.0"
GATEWAY = f"{PREFIX}.1"
FIRST, LAST = 11, 60
_PORTS = 23000
# Asked of the kernel: tests may open connections to 127.0.0.1 alone.
_LISTENS = 'ss -Hltn | grep -qF " $1 "'


def ensure() -> None:
    """The network is there."""
    if not docker("network", "ls", "-q", "--filter", f"name=^{NAME}$"):
        docker("network", "create", "--subnet", f"{PREFIX}.0/24", "--gateway", GATEWAY, NAME)


def remove() -> None:
    """The network is gone, unless a container is still on it."""
    with suppress(LabError):
        docker("network", "rm", NAME)


def place(labels: list[dict[str, str]]) -> tuple[str, int]:
    """An address on the network and a port of this machine that no host has.

    Raises:
        LabError: all are taken.
    """
    taken = {label.get("llm-dyno.lab.address") for label in labels}
    for last in range(FIRST, LAST):
        address, port = f"{PREFIX}.{last}", _PORTS + last
        if address not in taken and _free(port):
            return address, port
    raise LabError("the lab has no address left on its network")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_for(address: str, port: int, patience_s: float = 15.0) -> None:
    """Until something listens there.

    Raises:
        LabError: nothing did within *patience_s*.
    """
    deadline = time.monotonic() + patience_s
    while subprocess.run(["sh", "-c", _LISTENS, "sh", f"{address}:{port}"], check=False).returncode:
        if time.monotonic() > deadline:
            raise LabError(f"nothing listens on {address}:{port}")
        time.sleep(0.05)


def labels() -> list[dict[str, str]]:
    """The labels of every lab host's container, running or not."""
    ids = docker("ps", "-aq", "--filter", "label=llm-dyno.lab").split()
    if not ids:
        return []
    return [item["Config"]["Labels"] | {"name": item["Name"].lstrip("/")}
            for item in json.loads(docker("inspect", *ids))]  # fmt: skip
