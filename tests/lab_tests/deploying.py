"""Steps of a deploy, run on a lab host as `fab provision` runs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from provisioning import needs as needs_of
from provisioning.deploys.gpu_host import Deploy
from provisioning.host import Host
from provisioning.host_schema import HostNeeds
from provisioning.needs import Needs
from provisioning.recipe_schema import Model
from provisioning.remote import SshRemote
from stacks.outputs import DataDisk
from tests.lab.host import LabHost


def needs(lab_host: LabHost, disk: str | None = None, **asked: Any) -> Needs:
    """What a recipe with *asked* in its section ``host`` needs there; *disk* is the stack's."""
    data_disk = DataDisk(disk, "/data") if disk else None
    told = lab_host.stack_host(data_disk=data_disk)
    wanted = HostNeeds.model_validate(asked)
    data = needs_of._data(wanted, told, told.workdir)
    return Needs(wanted, Model(name="m"), told, told.workdir, data)


@contextmanager
def logged_in(lab_host: LabHost) -> Iterator[Host]:
    """The host over a connection of its own."""
    told = lab_host.stack_host()
    remote = SshRemote(told, lab_host.private_key)
    try:
        yield Host(remote, told.workdir, who="test")
    finally:
        remote.close()


def deploy(
    lab_host: LabHost, wanted: Needs, *topics: ModuleType, said: list[str] | None = None
) -> list[str]:
    """Run the steps of *topics*; what was changed, a line a command.

    Raises:
        DynoError: what a person would be told.
    """
    lines = [] if said is None else said
    with logged_in(lab_host) as host:
        steps = [step for topic in topics for step in topic.steps(wanted)]
        work = Deploy(host, steps)
        work.prepare()
        report = work.run(lambda _step, line: lines.append(line))
    return [command for step in report.steps for command in step.commands]
