"""What a deploy is made from: the recipe's wishes, and what the stack says of the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provisioning import engines, launchers
from provisioning.host_schema import HostNeeds
from provisioning.recipe_schema import Layout, Model, Recipe
from stacks.outputs import HostOutput

#: Where a data disk is mounted when neither recipe nor stack says.
DATA = "/data"


@dataclass(frozen=True)
class Needs:
    """`host` is None on a machine that no stack made. `workdir` is our folder on it.

    `data` is the folder for bulky things: where the data disk is mounted if the recipe asks for
    one, else `workdir`. `recipe_folder` is where files beside the recipe are looked for. `weights`:
    the engine reads those of the model. `port`: where the engine is to listen, if the recipe says.
    `layout`: how it is spread over GPUs; `launcher`: by what it is started. `nccl_env`: what the
    recipe tells NCCL in the engine's environment.
    """

    needs: HostNeeds
    model: Model
    host: HostOutput | None
    workdir: str
    data: str
    recipe_folder: Path | None = None
    weights: bool = True
    port: int | None = None
    layout: Layout = field(default_factory=Layout)
    launcher: str = ""
    nccl_env: Mapping[str, str] = field(default_factory=dict)


def of(recipe: Recipe, host: HostOutput | None, workdir: str) -> Needs:
    """What *recipe* needs on *host*.

    Raises:
        UsageError: there is no engine or launcher of that name, or they do not fit.
    """
    data = _data(recipe.host, host, workdir)
    weights = getattr(engines.load(recipe.engine.name), "READS_WEIGHTS", True)
    port = recipe.engine.port
    return Needs(
        _with_container(recipe),
        recipe.model,
        host,
        workdir,
        data,
        recipe.folder,
        weights,
        port,
        recipe.layout,
        recipe.launcher,
        {name: value for name, value in recipe.engine.env.items() if name.startswith("NCCL_")},
    )


def _with_container(recipe: Recipe) -> HostNeeds:
    """What the recipe asks of its host, and what its launcher of containers needs in any case."""
    launcher, asked, container = launchers.of(recipe), recipe.host, recipe.engine.container
    changes: dict[str, Any] = {}
    if container and container.image not in asked.images:
        changes["images"] = [*asked.images, container.image]
    composed = getattr(launcher, "NEEDS_COMPOSE", False)
    if composed and asked.docker and asked.docker.compose == "none":
        changes["docker"] = asked.docker.model_copy(update={"compose": "any"})
    return asked.model_copy(update=changes)


def _data(needs: HostNeeds, host: HostOutput | None, workdir: str) -> str:
    if needs.data_disk is None:
        return workdir
    of_stack = host.data_disk.mount if host and host.data_disk else DATA
    return needs.data_disk.mount or of_stack
