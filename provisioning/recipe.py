"""Recipes by name: ``recipes/<name>.yaml``, with what it extends, its variants, and overrides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from provisioning import overrides as settings
from provisioning import recipe_errors, recipe_layers, rehearsal
from provisioning.errors import UsageError
from provisioning.named import suggestion
from provisioning.recipe_layers import Layer
from provisioning.recipe_schema import Recipe

__all__ = ["RECIPES", "Recipe", "load", "names", "series", "split", "variants"]

RECIPES = Path(__file__).parent.parent / "recipes"


def names(folder: Path = RECIPES) -> list[str]:
    """Names of all recipes."""
    return recipe_layers.names(folder)


def variants(name: str, folder: Path = RECIPES) -> list[str]:
    """Names of the variants of the recipe *name*, in order.

    Raises:
        UsageError: there is no such recipe, or it cannot be read.
    """
    return list(recipe_layers.variants(_files(split(name)[0], folder)))


def split(name: str) -> tuple[str, str | None]:
    """``recipe:variant`` as the two; a name alone is a recipe's."""
    recipe, colon, variant = name.partition(":")
    return recipe, variant if colon else None


def load(
    name: str,
    overrides: Sequence[str] = (),
    folder: Path = RECIPES,
    *,
    variant: str | None = None,
    rehearse: bool = False,
) -> Recipe:
    """Read the recipe *name*, each of *overrides* (``key.path=value``) put over it.

    Of a recipe with variants it is *variant* (or that of ``name:variant``), else the first.
    *rehearse*: what stands in for it where there is no GPU.

    Raises:
        UsageError: no such recipe, or what it says (or is overridden with) is wrong; names the
            file and the path of the key.
    """
    name, named = split(name)
    layers = _files(name, folder)
    found = recipe_layers.variants(layers)
    chosen = _chosen(name, variant or named, list(found))
    made = _made(name, [*layers, *(found[chosen] if chosen else ())], overrides, folder)
    made = made.known_as(name, folder, chosen)
    return rehearsal.of(made, [settings.parse(text) for text in overrides]) if rehearse else made


def series(
    name: str,
    overrides: Sequence[str] = (),
    folder: Path = RECIPES,
    *,
    chosen: Sequence[str] = (),
    rehearse: bool = False,
) -> list[Recipe]:
    """All variants of the recipe *name*, or those that are *chosen*, in the recipe's order.

    A recipe without variants is a series of one; ``name:variant`` is that variant alone.

    Raises:
        UsageError: as `load`, of the first that is wrong: before any is run.
    """
    name, named = split(name)
    known = variants(name, folder)
    wanted = [*chosen, *([named] if named else [])]
    for each in wanted:
        _chosen(name, each, known)
    picked: list[str | None] = [each for each in known if each in wanted or not wanted]
    return [
        load(name, overrides, folder, variant=each, rehearse=rehearse) for each in picked or [None]
    ]


def _files(name: str, folder: Path) -> list[Layer]:
    known = names(folder)
    if name not in known:
        raise UsageError(f"There is no recipe {name!r}.", suggestion(name, known, "Known are: {}."))
    return recipe_layers.files(name, folder)


def _chosen(name: str, variant: str | None, known: list[str]) -> str | None:
    if variant is None:
        return known[0] if known else None
    if variant not in known:
        none = "It has none."
        raise UsageError(
            f"The recipe {name} has no variant {variant!r}.",
            suggestion(variant, known, "Known are: {}.") if known else none,
        )
    return variant


def _made(name: str, layers: list[Layer], overrides: Sequence[str], folder: Path) -> Recipe:
    data: Any = recipe_layers.merged(layers)
    changes = [settings.parse(text) for text in overrides]
    for change in changes:
        settings.put(data, change)
    try:
        return Recipe.named(name, data, folder)
    except ValidationError as error:
        raise recipe_errors.explain(error, layers, changes) from None
