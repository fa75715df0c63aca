"""What NVIDIA's tool and CUDA print when they fail, in one sentence."""

from __future__ import annotations

import pytest

from provisioning import gpu_trouble

LOST = "Unable to determine the device handle for GPU 0000:3B:00.0: GPU is lost.  Reboot the system"


@pytest.mark.parametrize(
    ("said", "what", "advice"),
    [
        (f"{LOST} to recover this GPU", "is lost", "Reboot the host"),
        ("0, NVIDIA L40S, [GPU is lost]\nnvidia-smi ended with 15", "is lost", "another machine"),
        ("NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.", "is lost", "xid"),
        ("nvidia-smi ended with 15", "is lost", "Reboot the host"),
        ("0, X, [GPU requires reset], 1", "needs a reset", "Reboot the host"),
        ("nvidia-smi ended with 8", "power cables", "another machine"),
        ("Failed to initialize NVML: Insufficient Permissions", "may not speak", "/dev/nvidia"),
        ("nvidia-smi ended with 14", "corrupt infoROM", "another machine"),
        (
            "Failed to initialize NVML: Unknown Error\nnvidia-smi ended with 255",
            "nvidia-smi fails on the host with 255: Failed to initialize NVML: Unknown Error.",
            "reboot it",
        ),
        ("\nnvidia-smi ended with 10", "fails on the host with 10: it says nothing.", "another"),
    ],
)
def test_a_failure_of_nvidia_smi_is_explained(said: str, what: str, advice: str) -> None:
    """What happened, and to reboot the host or to take another."""
    found = gpu_trouble.of_smi(said)
    assert found is not None
    assert what in found[0]
    assert advice in found[1]
    assert (True, True) == (found[0].endswith("."), found[1].endswith("."))


def test_what_nvidia_smi_did_not_say_is_not_explained() -> None:
    """A command that failed for another reason stays one."""
    assert None is gpu_trouble.of_smi("sh: nvidia-smi: not found")


@pytest.mark.parametrize(
    "said",
    [
        "RuntimeError: Unexpected error from cuda. Error 802: system not yet initialized",
        "CUDA error: 802",
    ],
)
def test_a_fabric_that_is_not_set_up_names_its_package(said: str) -> None:
    """The fabric manager, of the driver's own branch and version."""
    found = gpu_trouble.of_fabric(said, "580.95.05")
    assert found is not None
    assert "nvidia-fabricmanager-580 in the driver's very version (580.95.05)" in found[1]
    assert None is gpu_trouble.of_fabric("CUDA error: out of memory", "580.95.05")
