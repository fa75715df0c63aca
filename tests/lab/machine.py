"""What the lab needs of this machine, and where it keeps its own things on it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Of the machine, not of a checkout: hosts, images and processes outlive a checkout, too.
HOME = Path("/var/tmp/llm-dyno-lab")
FILES = Path(__file__).with_name("files")
CHECKOUT = Path(__file__).resolve().parents[2]
#: The programs that the lab calls, and the Debian package of each.
PROGRAMS = {
    "docker": "docker.io",
    "dockerd": "docker.io",
    "mmdebstrap": "mmdebstrap",
    "losetup": "mount",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}


class LabError(Exception):
    """The lab cannot do what was asked; the message is one sentence."""


def why_not() -> str | None:
    """Why no lab can be on this machine; None when one can."""
    if os.geteuid() != 0:
        return "the lab needs root on this machine (loop devices, dockerd)"
    missing = sorted({PROGRAMS[name] for name in PROGRAMS if not shutil.which(name)})
    if missing:
        return f"the lab needs these packages: {' '.join(missing)} (tools/test-packages, in CI)"
    if not shutil.which("apt-get"):
        return "the lab is built from Debian packages, and this machine has no apt-get"
    return None


def why_no_toolkit() -> str | None:
    """Why the lab's package archive cannot be made; None when it can."""
    return (
        None if shutil.which("go") else "the lab builds NVIDIA's toolkit with Go, which is missing"
    )


def install() -> None:
    """The packages that CI gets, here too."""
    argv = ["sh", str(CHECKOUT / "tools" / "test-packages")]
    subprocess.run(argv, env={**os.environ, "CI": "true"}, check=False)


@contextmanager
def alone(what: str = "lock") -> Iterator[None]:
    """One at a time on this machine, whichever checkout it comes from."""
    HOME.mkdir(mode=0o700, exist_ok=True)
    with (HOME / what).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def key() -> Path:
    """The private key that every lab host's user takes; made once."""
    path = HOME / "key"
    if not path.exists():
        HOME.mkdir(mode=0o700, exist_ok=True)
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(path)]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return path
