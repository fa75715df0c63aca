"""The recorded GPUs can be plugged into a host."""

from __future__ import annotations

import json

import pytest

from tests.lab import gpu
from tests.lab.machine import LabError


@pytest.mark.parametrize("name", gpu.names())
def test_a_recorded_gpu_is_whole(name: str) -> None:
    """It says where it is from, and every GPU has a UUID and a place of its own."""
    data = gpu.read(name)
    slots = gpu.describe(name, "")["pci"].splitlines()

    assert data["from"]
    assert len({one["uuid"] for one in data["gpus"]}) == len(data["gpus"]) == len(slots)
    assert all(one["name"] and one["memory.total"] for one in data["gpus"])


def test_the_files_are_the_gpus_that_are_promised() -> None:
    """One and eight of the newest, eight of the one before, a sliced one, one without memory."""
    promised = ["gb10", "l40s-x8", "rtx-pro-6000-mig", "rtx-pro-6000x1", "rtx-pro-6000x8"]

    assert gpu.names() == promised


def test_a_driver_can_be_another_or_none() -> None:
    """The recorded version, the one that is asked for, or no driver."""
    recorded, other, none = (gpu.describe("gb10", word) for word in ("", "535.1", "none"))

    assert recorded["driver"].strip() == json.loads(recorded["hardware.json"])["driver"]
    assert other["driver"] == "535.1\n"
    assert "driver" not in none


def test_an_unknown_gpu_is_named() -> None:
    """With those that there are."""
    with pytest.raises(LabError, match="no GPU is called h100; there are: gb10, "):
        gpu.read("h100")
