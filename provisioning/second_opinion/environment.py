"""Where a tool's programs are on a host: in a virtual environment of its own."""

from __future__ import annotations

from provisioning.deploys.step import Step
from provisioning.host import Host
from provisioning.host_schema import PythonPackages
from provisioning.operations.python_env import facts, fetched, identity, made
from provisioning.volume import ENVIRONMENTS


def path(host: Host, asked: PythonPackages) -> str:
    """The environment's folder; its programs are in ``bin``."""
    return host.path(ENVIRONMENTS, identity(asked))


def step(name: str, workdir: str, asked: PythonPackages) -> Step:
    """The environment is there, made while the engine's own is."""
    folder = f"{workdir}/{ENVIRONMENTS}/{identity(asked)}"
    return Step(
        name,
        facts(folder),
        lambda host: _checked(host, asked, folder),
        (lambda host: fetched(host, asked, folder), lambda host: made(host, asked, folder)),
        after=("preflight", "disks", "packages", "python_env"),
    )


def _checked(host: Host, asked: PythonPackages, folder: str) -> None:
    """What `fetched` refuses is told before anything is changed."""
    list(fetched(host, asked, folder))
