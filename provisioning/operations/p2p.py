"""Whether GPUs can talk to each other directly, tried before an engine hangs in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from provisioning import gpu_trouble, p2p_probe
from provisioning.command import Command, Fact
from provisioning.errors import HostError
from provisioning.facts.gpus import Gpus
from provisioning.facts.record import Record
from provisioning.facts.system import System
from provisioning.host import Host
from provisioning.operations import docker, records

RECORD = Record("gpu/p2p.json")
FACTS: tuple[Fact[Any], ...] = (Gpus(), System(), RECORD)
#: Without direct access they go through the host's memory: slower, and it does not hang.
FALL_BACK = {"NCCL_P2P_DISABLE": "1"}
SECONDS = 30
LIMIT_S = 120  # torch takes long to load from a cold disk
_PROGRAM = Path(p2p_probe.__file__).read_text(encoding="utf-8")
_OK = re.compile(r"^ok ([\d.]+)$", re.MULTILINE)
# A probe that hangs is an answer: its exit code is printed, not ended with.
_TRY = '"$@"; echo "ended with $?"'

#: The probe as a command, by its arguments and environment.
Probe = Callable[[Host, tuple[str, ...], dict[str, str]], Command]


def in_container(image: str) -> Probe:
    """The probe with the Python of an *image*."""

    def probe(host: Host, argv: tuple[str, ...], env: dict[str, str]) -> Command:
        given = [f"--env={name}={value}" for name, value in env.items()]
        # The limit is inside: a container does not end with the command that started it.
        limit = ("--entrypoint", "timeout", image, "-s", "KILL", str(LIMIT_S))
        options = ("-i", "--rm", "--pull=never", "--network=none", "--gpus=all", "--ipc=host")
        run = docker.command(host, "run", *options, *given, *limit, "python3", "-", *argv)
        return _tried(run)

    return probe


def in_environment(python: str) -> Probe:
    """The probe with a *python* of the host."""

    def probe(_: Host, argv: tuple[str, ...], env: dict[str, str]) -> Command:
        return _tried(Command("timeout", "-s", "KILL", str(LIMIT_S), python, "-", *argv, env=env))

    return probe


def checked(
    host: Host,
    probe: Probe,
    tell: Callable[[str], None],
    given: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """All GPUs have reduced together, and what they need for it is written down.

    Nothing is done for one GPU, nor again for these GPUs, this driver, and this boot. *given*: what
    the engine is told of NCCL in any case, for that decides by which way they go.

    Raises:
        HostError: they cannot, even without direct access; or the probe cannot run.
    """
    gpus = host.fact(Gpus)
    of, known = _of(host), host.fact(RECORD) or {}
    if len(gpus) < 2 or (known.get("of"), known.get("given")) == (of, dict(given)):
        return
    count = len(gpus)
    tell(f"{count} GPUs reduce together, for {SECONDS} s")
    if host.dry_run:
        host.execute(probe(host, (str(count), str(SECONDS)), dict(given)), label="p2p.checked")
        return
    environment: dict[str, str] = {}
    speed = _try(host, probe, count, dict(given))
    if speed is None:
        tell(f"they do not within {LIMIT_S} s: once more without direct access (P2P)")
        environment = FALL_BACK
        speed = _try(host, probe, count, dict(given) | environment)
    if speed is None:
        raise HostError(
            f"The {count} GPUs cannot reduce together, even without direct access (P2P).",
            "Look at `sudo dmesg` and `nvidia-smi topo -m` on the host; or serve on one GPU.",
            host=host.name,
        )
    found = {"of": of, "given": dict(given), "environment": environment, "gb_per_s": speed}
    host.execute(*records.noted(host, RECORD, found), label="p2p.checked")
    tell(f"{count} GPUs reduce at {speed:.1f} GB/s" + (", without P2P" if environment else ""))


def p2p_environment(host: Host) -> dict[str, str]:
    """What an engine over several GPUs is to have in its environment; empty if nothing."""
    record = host.fact(RECORD) or {}
    return dict(record.get("environment") or {}) if record.get("of") == _of(host) else {}


def _of(host: Host) -> dict[str, Any]:
    gpus = host.fact(Gpus)
    drivers = sorted({gpu.driver for gpu in gpus})
    return {
        "gpus": [gpu.uuid for gpu in gpus],
        "driver": drivers,
        "boot_id": host.fact(System).boot_id,
    }


def _try(host: Host, probe: Probe, count: int, env: dict[str, str]) -> float | None:
    command = probe(host, (str(count), str(SECONDS)), env)
    (answer,) = host.execute(command, label="p2p.checked", timeout_s=2.0 * LIMIT_S)
    said = answer.stdout + answer.stderr
    if f"ended with {p2p_probe.NO_TORCH}" in said:
        raise HostError(
            "The GPUs cannot be tried together: there is no torch where the engine is to run.",
            "Name the engine's image first in `host.images`, or set `host.gpu.p2p_check: false`.",
            host=host.name,
        )
    if uninitialized := gpu_trouble.of_fabric(said, host.fact(Gpus)[0].driver):
        raise HostError(*uninitialized, host=host.name, log=said)
    found = _OK.search(said)
    return float(found[1]) if found and "ended with 0" in said else None


def _tried(command: Command) -> Command:
    return Command.shell(
        _TRY,
        *command.argv,
        sudo=command.sudo,
        env=dict(command.env),
        stdin=_PROGRAM,
        shown=f"let all GPUs reduce together ({' '.join(command.argv[:2])})",
    )
