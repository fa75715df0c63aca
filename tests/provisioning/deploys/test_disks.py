"""The step of the data disk."""

from __future__ import annotations

from typing import Any

import pytest

from provisioning.deploys import disks
from provisioning.errors import UsageError
from provisioning.host_schema import HostNeeds
from provisioning.needs import Needs
from provisioning.recipe_schema import Model
from provisioning.volume import Wanted
from stacks.outputs import DataDisk, HostOutput

STACK = HostOutput("h", (), "10.0.0.1", 22, "me", (), "/w", data_disk=DataDisk("/dev/vdb", "/data"))


def needs(*, data: str = "/data", host: HostOutput | None = STACK, **asked: Any) -> Needs:
    return Needs(HostNeeds.model_validate(asked), Model(name="m"), host, "/w", data)


def test_no_data_disk_is_no_step() -> None:
    """A disk of the stack's that the recipe does not ask for is left alone."""
    assert () == disks.steps(needs())


def test_what_is_wanted_is_the_stacks_disk() -> None:
    """At the folder for data, with the recipe's file system."""
    assert Wanted("/dev/vdb", "/data", "xfs") == disks.wanted(
        needs(data_disk={"filesystem": "xfs"})
    )
    nameless = needs(host=None, data_disk={"join_nvme": True})
    assert Wanted(None, "/data", "ext4", join=True) == disks.wanted(nameless)
    with pytest.raises(ValueError, match="no data disk"):
        disks.wanted(needs())


def test_all_is_asked_beforehand() -> None:
    """One step, after the preflight; its facts are those of its operations."""
    (step,) = disks.steps(needs(data_disk={}, docker={}))
    assert ("disks", ("preflight",), 6) == (step.name, step.after, len(step.operations))
    assert step.check is not None
    assert step.facts


@pytest.mark.parametrize("folder", ["/", "/a b", "/a/../b", "/a/./b", "data", "/data/", "/a;b"])
def test_a_folder_that_would_need_quoting_is_none(folder: str) -> None:
    """It stands in fstab and in units, each with rules of its own."""
    with pytest.raises(UsageError, match="cannot be mounted at"):
        disks.steps(needs(data=folder, data_disk={}))
