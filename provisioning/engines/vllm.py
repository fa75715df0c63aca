"""vLLM: its OpenAI-compatible server, from a virtual environment of the host or an image.

It reads the model from the cache on the host and asks no hub: how it is told so is the same in
all releases since 0.8. Its key is in its environment (``VLLM_API_KEY``), never in its arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from posixpath import join
from typing import Any

from provisioning.engines.base import (
    API_KEY,
    PORT,
    Container,
    Mount,
    ProcessSpec,
    Site,
    Weights,
    flags,
)
from provisioning.errors import UsageError
from provisioning.recipe_schema import Container as Wanted
from provisioning.recipe_schema import Recipe

#: The port inside of a container, and where its caches are.
CONTAINER_PORT = 8000
CONTAINER_CACHE = "/dyno-cache"
#: Where a folder of `model.path` is mounted.
CONTAINER_MODEL = "/model"

_DEFAULT = ("vllm", "serve")
_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_OPTION = re.compile(r"-(?!\d)")
#: Arguments that would make of it another server than the one that is asked for.
_OURS = {
    "api_key": "nothing (it is made for each run)",
    "config": "nothing (write its keys here)",
    "data_parallel_size": "layout.data_parallel",
    "download_dir": "nothing (models have one cache)",
    "headless": "nothing (it answers requests)",
    "host": "nothing (it listens on loopback)",
    "max_model_len": "model.max_model_len",
    "middleware": "nothing (it is code of others)",
    "model": "model.name",
    "pipeline_parallel_size": "layout.pipeline_parallel",
    "port": "engine.port",
    "revision": "model.revision",
    "root_path": "nothing (its paths are known)",
    "served_model_name": "model.name",
    "ssl_": "nothing (it listens on loopback)",
    "tensor_parallel_size": "layout.tensor_parallel",
    "uds": "nothing (it listens on a port)",
}
#: Not asked for anything but what is measured: no reports home, no look at a hub.
_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
_SYSTEM_PATH = "/usr/local/cuda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OUR_ENV = {
    "HF_HOME": "where models are kept on the host",
    "HF_HUB_CACHE": "where models are kept on the host",
    "HF_HUB_OFFLINE": "the model is on the host already",
    "HUGGINGFACE_HUB_CACHE": "where models are kept on the host",
    "TRANSFORMERS_OFFLINE": "the model is on the host already",
    "VLLM_CACHE_ROOT": "where caches are kept on the host",
    "VLLM_PORT": "set engine.port",
}


def spec(recipe: Recipe, site: Site) -> ProcessSpec:
    """Serve the recipe's model, from `site.environment` or in the recipe's container.

    Raises:
        UsageError: the recipe has no vLLM to start, or sets what is not for a recipe to set.
    """
    _require_fit(recipe)
    wanted = recipe.engine.container
    argv, env, container = _in_container(recipe, site, wanted) if wanted else _on_host(recipe, site)
    return ProcessSpec(
        engine="vllm",
        model=recipe.model.name,
        argv=argv,
        env=env,
        secret_env={API_KEY: site.api_key},
        port=recipe.engine.port,
        # Asks for the key, so that no other server on this port is taken for ours.
        ready_path="/v1/models",
        stop_grace_s=recipe.timeouts.stop_s,
        restart=recipe.engine.restart,
        limits={str(name): limit for name, limit in recipe.host.limits.items()},
        container=container,
    )


Made = tuple[tuple[str, ...], dict[str, str], Container | None]


def _on_host(recipe: Recipe, site: Site) -> Made:
    words = [*(recipe.engine.command or _DEFAULT)]
    if "/" not in words[0]:
        if site.environment is None:
            raise UsageError(
                "engine.name: vllm: the recipe says nowhere where vLLM is to come from.",
                "Name it in host.python.packages, or an engine.container with its launcher.",
            )
        words[0] = join(site.environment, "bin", words[0])
    env = dict(_QUIET)
    if site.environment:  # what it compiles with (ninja) is in there, too
        env["PATH"] = f"{site.environment}/bin:{_SYSTEM_PATH}"
    if site.weights and site.weights.home:
        env["HF_HOME"] = site.weights.home
    if site.cache:
        env |= _caches(site.cache)
    if site.gpus:
        env |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(site.gpus)}
    argv = (*words, *_arguments(recipe, site.weights, words, "127.0.0.1"))
    return argv, env | dict(site.gpu_env) | recipe.engine.env, None


def _in_container(recipe: Recipe, site: Site, wanted: Wanted) -> Made:
    words = recipe.engine.command or []
    weights, mounts = _mounted(site.weights, wanted.cache)
    env = dict(_QUIET)
    if weights and weights.home:
        env["HF_HOME"] = weights.home
    if site.cache:
        mounts = (*mounts, Mount(site.cache, CONTAINER_CACHE))
        env |= _caches(CONTAINER_CACHE)
    container = Container(
        image=site.image or wanted.image,
        port=CONTAINER_PORT,
        entrypoint=wanted.entrypoint,
        mounts=mounts,
        gpus=site.gpus,
        runtime=wanted.runtime,
        ipc_host=wanted.ipc_host,
        shm_size=wanted.shm_size,
    )
    # Docker publishes the port on the host's loopback; inside, it has to be open.
    argv = (*words, *_arguments(recipe, weights, words, "0.0.0.0"))  # noqa: S104 - in there
    return argv, env | dict(site.gpu_env) | recipe.engine.env, container


def _mounted(weights: Weights | None, cache: str) -> tuple[Weights | None, tuple[Mount, ...]]:
    """The model as the container sees it; it may not change it."""
    if weights is None:
        return None, ()
    if weights.home is None:
        return Weights(CONTAINER_MODEL), (Mount(weights.path, CONTAINER_MODEL, read_only=True),)
    inside = Weights(cache + weights.path.removeprefix(weights.home), cache, weights.commit)
    return inside, (Mount(weights.home, cache, read_only=True),)


def _caches(folder: str) -> dict[str, str]:
    """Where compiled kernels stay for the next start."""
    return {
        "VLLM_CACHE_ROOT": f"{folder}/vllm",
        "XDG_CACHE_HOME": folder,
        "TRITON_CACHE_DIR": f"{folder}/triton",
        "FLASHINFER_WORKSPACE_BASE": folder,
        # Modules that come with a model are copied there; the model's own cache is read only.
        "HF_MODULES_CACHE": f"{folder}/modules",
    }


def _arguments(
    recipe: Recipe, weights: Weights | None, words: list[str], address: str
) -> Iterator[str]:
    yield from _model(recipe.model.name, weights, positional=bool(words) and words[-1] == "serve")
    yield from ("--host", address, "--port", PORT)
    layout = recipe.layout
    yield from flags(
        {
            "tensor_parallel_size": layout.tensor_parallel,
            "pipeline_parallel_size": _unless_one(layout.pipeline_parallel),
            "data_parallel_size": _unless_one(layout.data_parallel),
            "max_model_len": recipe.model.max_model_len,
        }
    )
    yield from flags(recipe.engine.args)


def _model(name: str, weights: Weights | None, *, positional: bool) -> Iterator[str]:
    """`vllm serve` takes the model as its first word, the older server and images as an option.

    An image's own entry point is the older server up to 0.11 and `vllm serve` later, which takes
    the option, too.
    """
    folder = weights is not None and weights.home is None
    yield from (() if positional else ("--model",))
    yield weights.path if weights and folder else name
    if folder:
        yield from ("--served-model-name", name)
    elif weights and weights.commit:
        yield from ("--revision", weights.commit)


def _unless_one(count: int) -> int | None:
    return None if count == 1 else count


def _require_fit(recipe: Recipe) -> None:
    engine = recipe.engine
    for key, value in engine.args.items():
        _require_argument(key)
        _require_values(key, value if isinstance(value, list) else [value])
    for name in engine.env.keys() & _OUR_ENV.keys():
        raise UsageError(f"engine.env.{name} is not set here: {_OUR_ENV[name]}.", "Leave it out.")
    if "CUDA_VISIBLE_DEVICES" in engine.env and recipe.layout.instances != 1:
        raise UsageError(
            "engine.env.CUDA_VISIBLE_DEVICES would give all instances the same GPUs.",
            "Leave it out: each instance is given its own.",
        )


def _require_argument(key: str) -> None:
    if not _NAME.fullmatch(key):
        raise UsageError(
            f"engine.args.{key}: no name of an argument.", "Write --max-num-seqs as max_num_seqs."
        )
    plain = key.replace("-", "_")
    # vLLM takes the beginning of an argument for the whole.
    for ours, instead in _OURS.items():
        if ours.startswith(plain) or (ours.endswith("_") and plain.startswith(ours)):
            raise UsageError(f"engine.args.{key} is not set here; set {instead}.", "Leave it out.")


def _require_values(key: str, values: list[Any]) -> None:
    if any(isinstance(value, str) and _OPTION.match(value) for value in values):
        raise UsageError(
            f"engine.args.{key}: a value that begins with - would be an argument of its own.",
            "Write it as a key of engine.args.",
        )
