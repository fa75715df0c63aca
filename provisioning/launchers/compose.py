"""An engine as the one service of a project of Compose, of either generation."""

from __future__ import annotations

import re

from provisioning import containers
from provisioning.engines.base import PORT, ProcessSpec
from provisioning.errors import UsageError
from provisioning.launchers.base import File, Runs, key_file
from provisioning.render import render

RUNS: Runs = "container"
NEEDS_COMPOSE = True
FILE = "compose.yaml"
# Quotes, blanks, `$`, `#` and backslashes in a file of environment are read in several ways.
_PLAIN = re.compile(r"[!%&()*+,\-./0-9:;<=>?@A-Z\[\]^_a-z{|}~]*")


def files(spec: ProcessSpec, run_id: str) -> tuple[File, ...]:
    """What is written to the host; see `Launcher.files`."""
    _require_plain(spec)
    script = containers.engine_script("compose.sh.j2", spec, run_id, project=project(run_id))
    return (script, _yaml(spec, run_id), containers.env_file(spec), *key_file(spec))


def project(run_id: str) -> str:
    """The project's name, of which Compose wants small letters, and no dots."""
    return containers.name(run_id).lower().replace(".", "_")


def _yaml(spec: ProcessSpec, run_id: str) -> File:
    text = render(
        "compose.yaml.j2",
        engine=spec.engine,
        run_id=run_id,
        name=containers.name(run_id),
        label=containers.LABEL,
        container=containers.of(spec),
        command=containers.argv(spec),
        port_word=PORT,
        env=spec.env,
        env_file=containers.ENV_FILE,
        ulimits=containers.ulimits(spec),
        restart=spec.restart,
        stop_s=containers.stop_s(spec),
    )
    return File(FILE, text)


def _require_plain(spec: ProcessSpec) -> None:
    for name, secret in spec.secret_env.items():
        if not _PLAIN.fullmatch(secret.reveal()):
            raise UsageError(
                f"The value of {name} holds a character that Compose does not hand on as it is.",
                "Give one of letters, digits and `-._~`, or use the launcher `docker_run`.",
            )
