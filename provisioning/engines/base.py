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
class Site:
    """What a host offers an engine: paths of its Python and of the agent, and a key for it."""

    python: str
    agent: str
    api_key: Secret


@dataclass(frozen=True)
class ProcessSpec:
    """A server that is one process (with children). `port` None: any free one.

    It is ready when ``GET ready_path`` with its key says 200. To stop it takes `stop_grace_s` at
    most; then it is killed.
    """

    engine: str
    model: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, Secret] = field(default_factory=dict)
    port: int | None = None
    ready_path: str = "/health"
    stop_grace_s: float = 20.0

    def describe(self) -> dict[str, Any]:
        """What the manifest says of it: everything, but of secrets only the names."""
        return {
            "engine": self.engine,
            "model": self.model,
            "argv": list(self.argv),
            "env": dict(self.env),
            "secret_env": sorted(self.secret_env),
        }


class Engine(Protocol):
    """A module of `provisioning.engines`."""

    def spec(self, recipe: Recipe, site: Site) -> ProcessSpec:
        """What is to run on a host for *recipe*."""
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
