"""A disk for images, models and results."""

from __future__ import annotations

import re
from functools import partial

from provisioning.deploys.step import Step
from provisioning.errors import UsageError
from provisioning.needs import Needs
from provisioning.operations import data_folders, disks
from provisioning.volume import Wanted

_PLAIN = re.compile(r"(/[A-Za-z0-9._-]+)+")


def steps(needs: Needs) -> tuple[Step, ...]:
    """The data disk is mounted and has its folders; nothing when the recipe asks for none.

    Raises:
        UsageError: the folder it is to be mounted at is none that can be used.
    """
    if needs.needs.data_disk is None:
        return ()
    _require_plain(needs.data)
    volume = wanted(needs)
    on_disk = (disks.joined, disks.recorded, disks.formatted, disks.mounted)
    return (
        Step(
            "disks",
            facts=(*disks.facts(volume), *data_folders.facts(needs)),
            check=partial(disks.checked, wanted=volume),
            operations=(
                *(partial(operation, wanted=volume) for operation in on_disk),
                partial(data_folders.owned, needs=needs),
                partial(data_folders.awaited, needs=needs),
            ),
            after=("preflight",),
        ),
    )


def wanted(needs: Needs) -> Wanted:
    """What is asked of the data disk.

    Raises:
        ValueError: the recipe asks for none.
    """
    asked = needs.needs.data_disk
    if asked is None:
        raise ValueError("the recipe asks for no data disk")
    of_stack = needs.host.data_disk if needs.host else None
    device = of_stack.device if of_stack else None
    return Wanted(device, needs.data, asked.filesystem, asked.join_nvme)


def _require_plain(folder: str) -> None:
    if not _PLAIN.fullmatch(folder) or {".", ".."} & set(folder.split("/")):
        raise UsageError(
            f"A data disk cannot be mounted at {folder!r}.",
            "Set host.data_disk.mount to a folder such as /data: letters, digits, `.`, `_`, `-`.",
        )
