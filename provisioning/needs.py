"""What a deploy is made from: the recipe's wishes, and what the stack says of the host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from provisioning import engines
from provisioning.host_schema import HostNeeds
from provisioning.recipe_schema import Model, Recipe
from stacks.outputs import HostOutput

#: Where a data disk is mounted when neither recipe nor stack says.
DATA = "/data"


@dataclass(frozen=True)
class Needs:
    """`host` is None on a machine that no stack made. `workdir` is our folder on it.

    `data` is the folder for bulky things: where the data disk is mounted if the recipe asks for
    one, else `workdir`. `recipe_folder` is where files beside the recipe are looked for. `weights`:
    the engine reads those of the model. `port`: where the engine is to listen, if the recipe says.
    """

    needs: HostNeeds
    model: Model
    host: HostOutput | None
    workdir: str
    data: str
    recipe_folder: Path | None = None
    weights: bool = True
    port: int | None = None


def of(recipe: Recipe, host: HostOutput | None, workdir: str) -> Needs:
    """What *recipe* needs on *host*.

    Raises:
        UsageError: there is no engine of that name.
    """
    data = _data(recipe.host, host, workdir)
    weights = getattr(engines.load(recipe.engine.name), "READS_WEIGHTS", True)
    port = recipe.engine.port
    return Needs(recipe.host, recipe.model, host, workdir, data, recipe.folder, weights, port)


def _data(needs: HostNeeds, host: HostOutput | None, workdir: str) -> str:
    if needs.data_disk is None:
        return workdir
    of_stack = host.data_disk.mount if host and host.data_disk else DATA
    return needs.data_disk.mount or of_stack
