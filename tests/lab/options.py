"""What a lab host is to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

USER = "dyno"


@dataclass(frozen=True)
class Options:
    """A bare host, unless something is said.

    `sudo`: the user may become root without a password. `python`: there is a Python.
    `docker`: the distribution's Docker is there and runs. `disks`: blank disks /dev/nvme1n1 and
    so on, of `disk_size` (as truncate takes it). `release`: lines of /etc/os-release in place of
    the real ones. `small`: folders with a size of their own ("200m"), empty at each start.
    `egress`: names and addresses outside can be reached; the lab's own archive always can.
    `gpu`: a file of tests/lab/gpus; `driver`: version of its driver, "none" for no driver, ""
    for the one recorded.
    """

    sudo: bool = True
    python: bool = True
    docker: bool = False
    disks: int = 0
    disk_size: str = "2G"
    release: str = ""
    small: Mapping[str, str] = field(default_factory=dict)
    egress: bool = True
    gpu: str = ""
    driver: str = ""
