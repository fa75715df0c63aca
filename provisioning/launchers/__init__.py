"""How a spec is started, watched, logged and stopped: one module a launcher, found by its name."""

from __future__ import annotations

import sys
from typing import cast

from provisioning import named
from provisioning.errors import UsageError
from provisioning.launchers.base import Launcher
from provisioning.recipe_schema import Recipe


def load(name: str) -> Launcher:
    """The launcher *name*.

    Raises:
        UsageError: there is none.
    """
    return cast("Launcher", named.module(sys.modules[__name__], name, "launcher"))


def of(recipe: Recipe) -> Launcher:
    """The launcher of *recipe*, which fits its engine: containers to such, programs to others.

    Raises:
        UsageError: there is none of that name, or it does not fit.
    """
    launcher = load(recipe.launcher)
    if launcher.RUNS == "container" and recipe.engine.container is None:
        raise UsageError(
            f"launcher: {recipe.launcher} starts containers, and the recipe has no "
            "engine.container.",
            "Set engine.container.image, or choose a launcher of programs (`process`).",
        )
    if launcher.RUNS != "container" and recipe.engine.container is not None:
        raise UsageError(
            f"engine.container: the launcher {recipe.launcher} starts no containers.",
            "Take it out (`--set engine.container=null`), or choose `docker_run` or `compose`.",
        )
    return launcher
