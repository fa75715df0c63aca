"""A virtual environment, for recipes that serve without a container."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

from provisioning.deploys.step import Step
from provisioning.facts.python_env import PythonEnv
from provisioning.host import Host
from provisioning.needs import Needs
from provisioning.operations.python_env import facts, fetched, made, path
from provisioning.versions import UV

__all__ = ["about", "path", "steps"]


def steps(needs: Needs) -> tuple[Step, ...]:
    """The environment is there; nothing when the recipe asks for none."""
    asked = needs.needs.python
    if asked is None:
        return ()
    folder = path(needs)

    def check(host: Host) -> None:
        list(fetched(host, asked, folder))

    return (
        Step(
            "python_env",
            facts(folder),
            check,
            (
                partial(fetched, asked=asked, folder=folder),
                partial(made, asked=asked, folder=folder),
            ),
            after=("preflight", "disks", "packages"),
        ),
    )


def about(host: Host, needs: Needs) -> dict[str, Any]:
    """What the manifest should know: folder, Python, uv, and every package; empty without one."""
    if needs.needs.python is None:
        return {}
    found = host.fact(PythonEnv(path(needs)))
    return {"folder": path(needs), "uv": UV} | (asdict(found) if found else {})
