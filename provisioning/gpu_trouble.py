"""Known failures of NVIDIA's driver and its tool: what they print, what that means, what to do."""

from __future__ import annotations

import re

_AGAIN = "if it comes again, take another machine: this one has a fault"
_RULES = (
    (
        r"requires? (?:a )?reset|reset required",
        "A GPU of the host has met an error and needs a reset.",
        f"Reboot the host; {_AGAIN} (`sudo dmesg | grep -i xid` names it).",
    ),
    (
        r"GPU is lost|fallen off the bus|device handle for|ended with 15\b",
        "A GPU of the host is lost: it has fallen off the bus, or does not answer the driver.",
        f"Reboot the host; {_AGAIN} (`sudo dmesg | grep -i xid` names it).",
    ),
    (
        r"power cables|ended with 8\b",
        "A GPU of the host lacks its power cables.",
        "Have them put in, or take another machine.",
    ),
    (
        r"Insufficient Permissions|ended with 4\b",
        "Our user may not speak to the host's GPUs.",
        "See that it may open /dev/nvidia* there.",
    ),
    (
        r"infoROM is corrupt|ended with 14\b",
        "A GPU of the host has a corrupt infoROM, and nvidia-smi tells nothing of it.",
        "Take another machine, and have that GPU exchanged.",
    ),
)
_ENDED = re.compile(r"^nvidia-smi ended with (\d+)$", re.MULTILINE)
_FABRIC = re.compile(r"system not yet initialized|CUDA (?:error|failure):? 802\b", re.IGNORECASE)


def of_smi(said: str) -> tuple[str, str] | None:
    """Why the GPUs cannot be asked, by what nvidia-smi printed and its exit code's line."""
    for pattern, what, advice in _RULES:
        if re.search(pattern, said, re.IGNORECASE):
            return what, advice
    ended = _ENDED.search(said)
    if ended is None:
        return None
    words = [line.strip().rstrip(".") for line in said.splitlines() if line.strip()]
    own = next((line for line in words if not _ENDED.match(line)), "it says nothing")
    return (
        f"nvidia-smi fails on the host with {ended[1]}: {own}.",
        f"Look at `sudo dmesg | grep -iE 'xid|nvrm'` there, and reboot it; {_AGAIN}.",
    )


def of_fabric(said: str, driver: str) -> tuple[str, str] | None:
    """Whether CUDA does not begin because nothing has set up the switches between the GPUs."""
    if not _FABRIC.search(said):
        return None
    return "CUDA does not begin: its system is not yet initialized (error 802).", fabric(driver)


def fabric(driver: str) -> str:
    """What to do for GPUs behind NVSwitches, which need a service of the driver's own version."""
    branch = driver.partition(".")[0]
    return (
        f"GPUs behind NVSwitches need the fabric manager: install nvidia-fabricmanager-{branch} in "
        f"the driver's very version ({driver}) there, and start nvidia-fabricmanager."
    )
