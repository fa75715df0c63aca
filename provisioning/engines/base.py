"""What an engine says of itself, for a launcher to start it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from provisioning.command import Secret
from provisioning.recipe_schema import Recipe

#: Stands in `ProcessSpec.argv` where the port goes that the launcher finds free.
PORT = "{port}"
#: The name under which engines (vLLM's own name) and the agent know the engine's key.
API_KEY = "VLLM_API_KEY"


@dataclass(frozen=True)
class Weights:
    """The model on the host: `path` holds its files; `home` is the cache (``HF_HOME``) that they
    are part of, with their `commit`; both are None for a folder that is used as it is.
    """  # noqa: D205 - one thought

    path: str
    home: str | None = None
    commit: str | None = None


@dataclass(frozen=True)
class Site:
    """What a host offers one instance of an engine.

    `python` runs the `agent` (paths there). `environment` is the folder of the recipe's virtual
    environment, `weights` the model, `image` the container's with its digest, each None where the
    recipe has none. `gpus` are those of this instance, by UUID (of GPU or MIG slice) or index;
    empty for all there are. `gpu_env` is what GPUs need in an engine's environment on this host.
    `cache` is a folder for what engines keep from one start to the next (compiled kernels).
    """

    python: str
    agent: str
    api_key: Secret
    environment: str | None = None
    weights: Weights | None = None
    image: str | None = None
    gpus: tuple[str, ...] = ()
    gpu_env: Mapping[str, str] = field(default_factory=dict)
    cache: str | None = None


@dataclass(frozen=True)
class Mount:
    """A folder of the host, as a container sees it."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Container:
    """The container that a server runs in; `argv` of the spec is its command.

    The server listens on `port` inside, or on the launcher's own where it shares the host's
    network (`network_host`). `gpus`: those it sees, by UUID or index; empty for all, None for none.
    """

    image: str
    port: int = 8000
    entrypoint: str | None = None
    mounts: tuple[Mount, ...] = ()
    gpus: tuple[str, ...] | None = None
    runtime: str | None = None
    ipc_host: bool = False
    shm_size: str | None = None
    network_host: bool = False


@dataclass(frozen=True)
class ProcessSpec:
    """A server that is one process (with children), of the host or in a `container`.

    `port` None: any free one. It is ready when ``GET ready_path`` with its key says 200. To stop
    it takes `stop_grace_s` at most; then it is killed. `limits` are of the process, as
    `HostNeeds.limits` names them.
    """

    engine: str
    model: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, Secret] = field(default_factory=dict)
    port: int | None = None
    ready_path: str = "/health"
    stop_grace_s: float = 20.0
    restart: str = "no"
    limits: Mapping[str, str | int] = field(default_factory=dict)
    container: Container | None = None

    def describe(self) -> dict[str, Any]:
        """What the manifest says of it: everything, but of secrets only the names."""
        about: dict[str, Any] = {
            "engine": self.engine,
            "model": self.model,
            "argv": list(self.argv),
            "env": dict(self.env),
            "secret_env": sorted(self.secret_env),
        }
        if self.container:
            kept = {k: v for k, v in vars(self.container).items() if k != "mounts"}
            kept["mounts"] = [vars(mount) for mount in self.container.mounts]
            about["container"] = kept
        return about


class Engine(Protocol):
    """A module of `provisioning.engines`.

    ``READS_WEIGHTS = False`` in it: the engine needs no model on the host.
    """

    def spec(self, recipe: Recipe, site: Site) -> ProcessSpec:
        """What is to run on a host for *recipe*; pure.

        Raises:
            UsageError: the recipe asks for what this engine cannot do.
        """
        ...


def flags(args: Mapping[str, Any]) -> Iterator[str]:
    """Arguments of a recipe as a command line, in vLLM's manner.

    ``max_num_seqs: 8`` is ``--max-num-seqs 8``; true and false are ``--x`` and ``--no-x``; a list
    is one flag with several values; an object is JSON; null is left out.
    """
    for key, value in args.items():
        name = key.replace("_", "-")
        if value is None:
            continue
        if isinstance(value, bool):
            yield f"--{name}" if value else f"--no-{name}"
            continue
        yield f"--{name}"
        for item in value if isinstance(value, list) else (value,):
            yield json.dumps(item) if isinstance(item, dict) else str(item)
