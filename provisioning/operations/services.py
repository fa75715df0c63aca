"""The services that a GPU host is about, asked for in one question."""

from __future__ import annotations

from provisioning.facts.units import Unit, Units
from provisioning.host import Host

DOCKER = "docker.service"
CONTAINERD = "containerd.service"
PERSISTENCED = "nvidia-persistenced.service"
FACT = Units((DOCKER, CONTAINERD, PERSISTENCED))


def unit(host: Host, name: str) -> Unit:
    """The unit *name*; one that is not there on a host without systemd."""
    found = host.fact(FACT)
    return dict(zip(FACT.names, found, strict=False)).get(name, Unit())
