"""What launchers of containers have in common: names, files, and what Docker cannot take."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from provisioning.command import Secret
from provisioning.engines.base import PORT, Container, ProcessSpec
from provisioning.errors import UsageError
from provisioning.launchers.base import File, script

#: By this label a container is known, whatever its name.
LABEL = "llm-dyno.run"
#: Secrets of the environment, as a file beside the script.
ENV_FILE = "env"
_BREAK = re.compile(r"[\r\n\0]")
_UNLIMITED = -1


def name(run_id: str) -> str:
    """The name of the container of *run_id*."""
    return f"dyno-{run_id}"


def of(spec: ProcessSpec) -> Container:
    """The container that *spec* asks for.

    Raises:
        UsageError: there is none, or Docker cannot make one so.
    """
    made = spec.container
    if made is None:
        raise UsageError(
            f"The engine {spec.engine} was given no container to run in.",
            "Set engine.container.image, or choose a launcher of processes.",
        )
    if made.ipc_host and made.shm_size:
        raise UsageError(
            "engine.container has both `ipc_host` and `shm_size`: then /dev/shm is the host's.",
            "Leave out one of them.",
        )
    return made


def argv(spec: ProcessSpec) -> tuple[str, ...]:
    """Its command: `PORT` stays where the port is the host's own, which is picked there."""
    made = of(spec)
    if made.network_host:
        return spec.argv
    return tuple(str(made.port) if word == PORT else word for word in spec.argv)


def ulimits(spec: ProcessSpec) -> dict[str, int]:
    """Limits of the process as Docker counts them."""
    return {k: _UNLIMITED if v == "unlimited" else int(v) for k, v in spec.limits.items()}


def stop_s(spec: ProcessSpec) -> int:
    """Docker waits for whole seconds."""
    return math.ceil(spec.stop_grace_s)


def engine_script(template: str, spec: ProcessSpec, run_id: str, **more: Any) -> File:
    """The script of a template that extends ``container.sh.j2``."""
    made = of(spec)
    return script(
        template,
        spec,
        run_id,
        name=name(run_id),
        label=f"{LABEL}={run_id}",
        image=made.image,
        mounts=made.mounts,
        stop_s=stop_s(spec),
        **more,
    )


def env_file(spec: ProcessSpec) -> File:
    """The secrets of the engine's environment, in Docker's own format: no quotes, no escapes.

    Raises:
        UsageError: one holds a line break.
    """
    return File(ENV_FILE, Secret("".join(_lines(spec))))


def _lines(spec: ProcessSpec) -> Iterator[str]:
    for key, secret in spec.secret_env.items():
        value = secret.reveal()
        if _BREAK.search(value):
            raise UsageError(
                f"The value of {key} holds a line break, which Docker's files cannot hold.",
                "Give another one.",
            )
        yield f"{key}={value}\n"
