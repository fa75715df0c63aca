"""An engine as a container of its own: ``docker run``."""

from __future__ import annotations

from collections.abc import Iterator

from provisioning import containers
from provisioning.engines.base import PORT, Container, Mount, ProcessSpec
from provisioning.errors import UsageError
from provisioning.launchers.base import File, Runs, key_file
from provisioning.words import Words, grouped

RUNS: Runs = "container"


def files(spec: ProcessSpec, run_id: str) -> tuple[File, ...]:
    """What is written to the host; see `Launcher.files`."""
    script = containers.engine_script(
        "docker_run.sh.j2",
        spec,
        run_id,
        options=tuple(_options(spec, run_id)),
        published=_published(spec),
        command=containers.argv(spec),
    )
    return (script, containers.env_file(spec), *key_file(spec))


def command(spec: ProcessSpec, run_id: str) -> Words:
    """What the script runs, an option and its value at a time, with `PORT` for the port."""
    inside = _published(spec)
    publish = (("--publish", f"127.0.0.1:{PORT}:{inside}"),) if inside else ()
    image = (containers.of(spec).image,)
    words = grouped(containers.argv(spec))
    return (("docker", "run", "--detach"), *publish, *_options(spec, run_id), image, *words)


def _published(spec: ProcessSpec) -> int | None:
    made = containers.of(spec)
    return None if made.network_host else made.port


def _options(spec: ProcessSpec, run_id: str) -> Iterator[tuple[str, ...]]:
    made = containers.of(spec)
    yield ("--pull", "never")
    yield ("--name", containers.name(run_id))
    yield ("--label", f"{containers.LABEL}={run_id}")
    yield from _of_container(made)
    for name, value in spec.env.items():
        yield ("--env", f"{name}={value}")
    yield ("--env-file", containers.ENV_FILE)
    for name, limit in containers.ulimits(spec).items():
        yield ("--ulimit", f"{name}={limit}")
    if spec.restart != "no":
        yield ("--restart", spec.restart)
    yield ("--stop-timeout", str(containers.stop_s(spec)))
    yield ("--log-driver", "json-file")
    if made.entrypoint:
        yield ("--entrypoint", made.entrypoint)


def _of_container(made: Container) -> Iterator[tuple[str, ...]]:
    if made.network_host:
        yield ("--network", "host")
    if made.runtime:
        yield ("--runtime", made.runtime)
    if made.gpus is not None:
        yield ("--gpus", _gpus(made.gpus))
    if made.ipc_host:
        yield ("--ipc", "host")
    if made.shm_size:
        yield ("--shm-size", made.shm_size)
    for mount in made.mounts:
        yield ("--volume", _volume(mount))


def _gpus(gpus: tuple[str, ...]) -> str:
    # Docker reads a line of CSV there; without the quotes the second GPU is an option.
    return f'"device={",".join(gpus)}"' if gpus else "all"


def _volume(mount: Mount) -> str:
    for path in (mount.source, mount.target):
        if ":" in path:
            raise UsageError(
                f"The folder {path} has a colon in its name, which `docker run` cannot mount.",
                "Rename it, or use the launcher `compose`.",
            )
    return f"{mount.source}:{mount.target}{':ro' if mount.read_only else ''}"
