"""vLLM inside of an MLNode: a machine of somebody's that is asked by REST, never logged in to.

The node starts vLLM itself, as many instances as its GPUs hold (GPUs divided by TP x PP), spreads
requests over them, and keeps the model in a cache of its own. What it is told is a model, a
dtype, and further arguments of vLLM's, word by word: that is all there is to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from provisioning.engines.base import ProcessSpec, Site, flags
from provisioning.errors import UsageError
from provisioning.recipe_schema import Recipe

READS_WEIGHTS = False  # nothing that runs here does
NAME = "mlnode"
#: What a node's networks agree on; it moves replies, so it is no matter of taste.
DTYPE = "float16"
#: Arguments that the node gives by itself, or that are somewhere else in a request.
_OURS = {
    "api_key": "nothing (a node has none)",
    "download_dir": "nothing (the node has its own cache)",
    "revision": "model.revision",
    "served_model_name": "model.name",
}


def request(recipe: Recipe) -> dict[str, Any]:
    """The body of ``POST /api/v1/inference/up``: model, dtype, additional_args (all text).

    Raises:
        UsageError: the recipe asks for what a node cannot be told.
    """
    _require_fit(recipe)
    args = dict(recipe.engine.args)
    dtype = args.pop("dtype", DTYPE)
    return {
        "model": recipe.model.name,
        "dtype": str(dtype),
        "additional_args": list(_arguments(recipe, args)),
    }


def spec(recipe: Recipe, site: Site) -> ProcessSpec:
    """The request as words, for those who look at it: a launcher of programs refuses it.

    Raises:
        UsageError: as `request`.
    """
    del site  # there is no host
    body = request(recipe)
    argv = ("model", body["model"], "dtype", body["dtype"], *body["additional_args"])
    return ProcessSpec(engine=NAME, model=recipe.model.name, argv=argv)


def body_of(spec: ProcessSpec) -> str:
    """The request that *spec* stands for, as JSON."""
    _, model, _, dtype, *words = spec.argv
    body = {"model": model, "dtype": dtype, "additional_args": words}
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def _arguments(recipe: Recipe, args: dict[str, Any]) -> Iterator[str]:
    """TP and PP always: by them the node counts its instances."""
    yield from flags(
        {
            "tensor_parallel_size": recipe.layout.tensor_parallel,
            "pipeline_parallel_size": recipe.layout.pipeline_parallel,
            "max_model_len": recipe.model.max_model_len,
            "revision": recipe.model.revision,
        }
    )
    yield from flags(args)


def _require_fit(recipe: Recipe) -> None:
    if recipe.launcher != NAME:
        raise UsageError(
            f"launcher: {recipe.launcher} starts what runs on a host, and engine.name: mlnode is "
            "served by a node that was asked to.",
            "Set launcher: mlnode.",
        )
    for key, found in _unheard(recipe):
        raise UsageError(f"{key}: a node cannot be told {found}.", "Leave it out.")
    for name in recipe.engine.args:
        plain = name.replace("-", "_")
        if plain in _OURS:
            raise UsageError(
                f"engine.args.{name} is not set here; set {_OURS[plain]}.", "Leave it out."
            )


def _unheard(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Keys that would be dropped without a word."""
    engine, layout, model = recipe.engine, recipe.layout, recipe.model
    checks = (
        ("engine.container", engine.container, "in which container vLLM runs"),
        ("engine.command", engine.command, "by which command vLLM is started"),
        ("engine.env", engine.env, "vLLM's environment"),
        ("engine.port", engine.port, "a port"),
        ("engine.restart", engine.restart != "no", "whether vLLM is started again"),
        ("model.path", model.path, "a folder"),
        ("model.hub", model.hub, "where models come from"),
        ("layout.data_parallel", layout.data_parallel != 1, "more than TP and PP"),
        ("layout.instances", layout.instances not in (1, "fill"), "how many instances to start"),
    )
    yield from ((key, what) for key, value, what in checks if value)
