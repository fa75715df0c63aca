"""Docker on this machine: its command, and its daemon where none answers."""

from __future__ import annotations

import fcntl
import functools
import subprocess
import time
from typing import IO

from tests.lab import processes
from tests.lab.machine import HOME, LabError

DAEMON = "dockerd"
START_S = 30.0


def docker(
    *argv: str, check: bool = True, data: bytes | None = None, timeout_s: float = 300.0
) -> str:
    """The standard output of ``docker ARGV``, without the white space around it.

    Raises:
        LabError: it failed (with *check*), or took longer than *timeout_s*.
    """
    try:
        done = subprocess.run(
            ["docker", *argv],
            input=data,
            stdin=None if data is not None else subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError:
        raise LabError("there is no docker command on this machine") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"docker {argv[0]} took longer than {timeout_s:g} s") from None
    if check and done.returncode:
        raise LabError(f"docker {' '.join(argv[:2])}: {done.stderr.decode().strip()}")
    return done.stdout.decode(errors="replace").strip()


def answers() -> bool:
    """Whether a Docker daemon answers."""
    try:
        return bool(docker("version", "--format", "{{.Server.Version}}", timeout_s=20.0))
    except LabError:
        return False


def ensure() -> None:
    """A daemon answers; ours is started where none does, and stays while this process lives.

    Raises:
        LabError: it does not come up.
    """
    _using(fcntl.LOCK_SH)
    if answers():
        return
    processes.stop(DAEMON)
    processes.start(DAEMON, ["dockerd"])
    deadline = time.monotonic() + START_S
    while not answers():
        if not processes.running(DAEMON) or time.monotonic() > deadline:
            processes.stop(DAEMON)
            raise LabError("dockerd does not start on this machine (its log is beside its pid)")
        time.sleep(0.1)


def stop() -> bool:
    """End the daemon if the lab started it."""
    return processes.stop(DAEMON)


def stop_if_idle() -> bool:
    """End the daemon if the lab started it and no other process of the lab uses it."""
    try:
        _using(fcntl.LOCK_EX | fcntl.LOCK_NB)
        return stop()
    except BlockingIOError:
        return False
    finally:
        _using(fcntl.LOCK_SH)


@functools.cache
def _mark() -> IO[str]:
    HOME.mkdir(mode=0o700, exist_ok=True)
    return (HOME / "using").open("w")


def _using(how: int) -> None:
    """Tell other processes of the lab; until this one ends."""
    fcntl.flock(_mark(), how)
