"""What a recipe is, for a person who chooses one: as plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from provisioning import plan, recipe_layers
from provisioning import recipe as recipes
from provisioning.recipe_schema import Recipe

Plain = dict[str, Any]


def family(name: str, folder: Path = recipes.RECIPES) -> Plain:
    """The recipe *name* with its variants; `origin` is the comment that its file begins with.

    Raises:
        UsageError: there is none of that name, or it is wrong.
    """
    name = recipes.split(name)[0]
    known = recipes.variants(name, folder)
    layers = recipe_layers.files(name, folder)
    common = str(recipe_layers.merged(layers).get("description", ""))
    return {
        "recipe": name,
        "description": common,
        "extends": layers[-1].data.get(recipe_layers.EXTENDS),
        "origin": origin(folder / f"{name}.yaml"),
        "variants": [variant(one) for one in recipes.series(name, folder=folder)],
        "series": len(known) > 1,
    }


def variant(recipe: Recipe) -> Plain:
    """What one run of it serves, how, under which load, and what it wants of its host."""
    engine = recipe.engine
    return {
        "variant": recipe.variant,
        "description": recipe.description,
        "model": recipe.model.name,
        "engine": engine.name,
        "image": engine.container.image if engine.container else None,
        "launcher": recipe.launcher,
        "layout": layout(recipe),
        "load": load(recipe),
        "points": [point.name for point in recipe.points()],
        "planned_s": round(plan.planned_s(recipe)),
        "host": needs(recipe),
    }


def layout(recipe: Recipe) -> str:
    """``TP 8 x PP 1``, and instances where there are several."""
    wanted = recipe.layout
    text = f"TP {wanted.tensor_parallel} x PP {wanted.pipeline_parallel}"
    if wanted.data_parallel > 1:
        text += f" x DP {wanted.data_parallel}"
    if wanted.instances == 1:
        return text
    many = "as many instances as fit" if wanted.instances == "fill" else f"{wanted.instances} of it"
    return f"{text}, {many} behind the {wanted.front}"


def load(recipe: Recipe) -> str:
    """The traffic's shape: ``random 2048/128, completions``."""
    shape = recipe.load.workload
    # Prompts of a file have the length that they have.
    given = {"path", "prompts"} & shape.options.keys() and shape.name != "sonnet"
    lengths = f"{'' if given else shape.input_len}/{shape.output_len}"
    return f"{shape.name} {lengths}, {recipe.load.api}" + (", search" if recipe.load.search else "")


def needs(recipe: Recipe) -> list[str]:
    """What its host has to be, a few words each."""
    host, found = recipe.host, []
    if host.gpu:
        count = host.gpu.count
        mig = f", each with a MIG slice {host.gpu.mig}" if host.gpu.mig else ""
        found.append(f"{count} GPU{'' if count == 1 else 's'}{mig}" if count else f"GPUs{mig}")
    if host.docker:
        found.append("Docker" + (" with Compose" if host.docker.compose != "none" else ""))
    if host.toolkit:
        found.append("NVIDIA Container Toolkit")
    if host.python:
        found.append(f"Python with {', '.join(host.python.packages)}")
    if host.data_disk:
        found.append(f"a data disk at {host.data_disk.mount or '/data'}")
    if host.free_disk_gb:
        found.append(f"{host.free_disk_gb:g} GB of free disk")
    if host.memory_gb:
        found.append(f"{host.memory_gb:g} GB of memory")
    return found


def origin(path: Path) -> str:
    """The comment at the head of a recipe's file: where its numbers come from."""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)
