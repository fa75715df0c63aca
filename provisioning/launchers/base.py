"""What a launcher says: the files on the host by which an engine is started and stopped there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from provisioning.command import Secret, quote
from provisioning.engines.base import API_KEY, PORT, ProcessSpec
from provisioning.render import render
from provisioning.versions import ENGINE_PORTS

#: What a launcher starts: programs of the host, containers, or what a node starts by itself.
Runs = Literal["process", "container", "node"]

SCRIPT = "engine.sh"
KEY_FILE = "api-key"


@dataclass(frozen=True)
class File:
    """A file in the engine's own folder on the host, ``engines/<run-id>``."""

    name: str
    content: str | Secret
    mode: int = 0o600


class Launcher(Protocol):
    """A module of `provisioning.launchers`.

    One of its files is `SCRIPT`, which understands ``start`` (and prints process id, its start
    time, boot id and port), ``alive``, ``stop`` and ``log [LINES]``: whoever comes later, with
    whatever release, can end what was started. No launcher's file but those that are a `Secret`
    holds a secret.
    """

    RUNS: Runs

    def files(self, spec: ProcessSpec, run_id: str) -> tuple[File, ...]:
        """What is written to the host; pure.

        Raises:
            UsageError: the launcher cannot start that.
        """
        ...


@dataclass(frozen=True)
class Handle:
    """An engine that was started: its process, where it answers, and its files on the host.

    Start time and boot tell the process from another that was given its number.
    """

    run_id: str
    pid: int
    pid_started: int
    boot_id: str
    port: int
    ready_path: str
    log: str
    api_key_file: str | None

    @property
    def base_url(self) -> str:
        """The engine's address on the host itself, without ``/v1``."""
        return f"http://127.0.0.1:{self.port}"


def script(template: str, spec: ProcessSpec, run_id: str, **more: Any) -> File:
    """`SCRIPT` of a template that extends ``engine.sh.j2``: no secrets in it."""
    text = render(
        template,
        engine=spec.engine,
        run_id=run_id,
        argv=spec.argv,
        port=spec.port,
        port_word=PORT,
        first_port=ENGINE_PORTS.start,
        port_count=len(ENGINE_PORTS),
        stop_grace_s=spec.stop_grace_s,
        **more,
    )
    return File(SCRIPT, text, 0o700)


def key_file(spec: ProcessSpec) -> tuple[File, ...]:
    """The engine's key for who asks it; nothing for an engine without one."""
    return (File(KEY_FILE, spec.secret_env[API_KEY]),) if API_KEY in spec.secret_env else ()


def shell_environment(spec: ProcessSpec) -> File:
    """The engine's whole environment as shell assignments, secrets revealed."""
    values = dict(spec.env) | {k: v.reveal() for k, v in spec.secret_env.items()}
    text = "".join(f"{name}={quote(value)}\n" for name, value in values.items())
    return File("env", Secret(text))
