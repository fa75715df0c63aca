"""The part of a recipe that says how the model is served. Every key, with its bounds."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from provisioning.recipe_values import Count, Seconds, Strict

_SECRET = re.compile(r"(^|_)(TOKEN|KEY|SECRET|PASSWORD|PASSPHRASE)$")
_OURS = {
    "port": "engine.port",
    "host": "nothing (loopback)",
    "model": "model.name",
    "max_model_len": "model.max_model_len",
    "tensor_parallel_size": "layout.tensor_parallel",
    "pipeline_parallel_size": "layout.pipeline_parallel",
    "data_parallel_size": "layout.data_parallel",
}
#: What an engine is told to be in its environment where it has no other value.
Restart = Annotated[
    Literal["no", "on-failure", "unless-stopped", "always"],
    BeforeValidator(lambda value: "no" if value is False else value),  # which YAML makes of `no`
]


def _no_secret(env: dict[str, str]) -> dict[str, str]:
    for name in env:
        if _SECRET.search(name):
            raise ValueError(f"{name} looks like a secret; recipes hold none")
    return env


def _not_ours(args: dict[str, Any]) -> dict[str, Any]:
    for name in args:
        plain = name.lstrip("-").replace("-", "_")
        if plain in _OURS:
            raise ValueError(f"{name} is not set here; set {_OURS[plain]}")
        if _SECRET.search(plain.upper()):
            raise ValueError(f"{name} looks like a secret; recipes hold none")
    return args


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a NUL, which no environment can")
    return value


def _one_line(value: str) -> str:
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in value):
        raise ValueError("holds a control character or a line break")
    return value


EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Word = Annotated[str, Field(min_length=1), AfterValidator(_one_line)]
#: An image as Docker names it, with a tag or, better, a digest.
ImageName = Annotated[
    str, Field(pattern=r"^[a-z0-9][A-Za-z0-9._:/-]*[A-Za-z0-9](@sha256:[0-9a-f]{64})?$")
]


class Container(Strict):
    """The container that the engine runs in; only for launchers of containers."""

    image: ImageName = Field(description="Image, with a tag or a digest; it is pulled first.")
    entrypoint: Word | None = Field(
        default=None, description="Program in place of the image's own entry point."
    )
    runtime: Word | None = Field(
        default=None, description="Docker's runtime, such as `nvidia`; default: its own."
    )
    ipc_host: bool = Field(default=False, description="Shares the host's IPC namespace.")
    shm_size: Annotated[str, Field(pattern=r"^\d+[kmg]?$")] | None = Field(
        default=None, description="Size of its /dev/shm, such as `16g`; not with `ipc_host`."
    )
    cache: Annotated[str, Field(pattern=r"^/\S*[^/\s]$")] = Field(
        default="/root/.cache/huggingface", description="Where the model cache is mounted in it."
    )


class Engine(Strict):
    """The server."""

    name: str = Field(description="A module of provisioning/engines.")
    container: Container | None = Field(
        default=None, description="Its container, for launchers `docker_run` and `compose`."
    )
    command: list[Word] | None = Field(
        default=None, description="Words before its arguments; default: the engine's own."
    )
    args: Annotated[dict[str, Any], AfterValidator(_not_ours)] = Field(
        default_factory=dict, description="Its arguments: `max_num_seqs: 8` is `--max-num-seqs 8`."
    )
    env: Annotated[
        dict[EnvName, Annotated[str, BeforeValidator(_as_text), AfterValidator(_no_nul)]],
        AfterValidator(_no_secret),
    ] = Field(default_factory=dict, description="Its environment; no secrets.")
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None, description="The port it listens on; by default one that is free on the host."
    )
    restart: Restart = Field(
        default="no",
        description="Whether what started it starts it again; a run that sees it has failed.",
    )


class Layout(Strict):
    """How the model is spread over the GPUs."""

    tensor_parallel: Count = Field(default=1, description="GPUs that share each layer (TP).")
    pipeline_parallel: Count = Field(default=1, description="Groups of layers, one a stage (PP).")
    data_parallel: Count = Field(
        default=1, description="Replicas inside one engine: vLLM's own data parallelism (DP)."
    )
    instances: Count | Literal["fill"] = Field(
        default=1, description="Engines beside each other; `fill`: as many as the GPUs hold."
    )
    front: Literal["agent", "nginx"] = Field(
        default="agent",
        description="Who spreads the load over instances: the load client, or one nginx.",
    )

    @property
    def gpus(self) -> int:
        """GPUs of one instance."""
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel

    @model_validator(mode="after")
    def _front_of_several(self) -> Self:
        if self.front == "nginx" and self.instances == 1:
            raise ValueError("front `nginx` is for several `instances`")
        return self


class Phases(Strict):
    """The longest that each phase of a start may take; see docs/reference/readiness."""

    start_s: Seconds = Field(default=300.0, description="From the process to its first phase.")
    weights_s: Seconds = Field(default=1800.0, description="Loading of the weights.")
    compile_s: Seconds = Field(default=1200.0, description="Compilation of the model.")
    kv_cache_s: Seconds = Field(default=300.0, description="Profiling of memory, KV cache.")
    graphs_s: Seconds = Field(default=900.0, description="Capture of CUDA graphs.")
    serve_s: Seconds = Field(default=120.0, description="From there to the first answer.")


class Timeouts(Strict):
    """How long is waited."""

    ready_s: Seconds = Field(
        default=1800.0, description="From the engine's start to its first answer."
    )
    stop_s: Seconds = Field(
        default=20.0, description="For the engine to end by itself, when asked to."
    )
    phases: Phases = Field(default_factory=Phases, description="Each phase of the start.")
