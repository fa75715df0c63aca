"""Recipes by name: ``recipes/<name>.yaml``, with overrides, validated."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from provisioning import overrides as settings
from provisioning import recipe_errors
from provisioning.errors import UsageError
from provisioning.named import suggestion
from provisioning.recipe_schema import Recipe

__all__ = ["RECIPES", "Recipe", "load", "names"]

RECIPES = Path(__file__).parent.parent / "recipes"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")  # becomes a part of run ids


def names(folder: Path = RECIPES) -> list[str]:
    """Names of all recipes."""
    return sorted(path.stem for path in folder.glob("*.yaml") if _NAME.fullmatch(path.stem))


def load(name: str, overrides: Sequence[str] = (), folder: Path = RECIPES) -> Recipe:
    """Read the recipe *name*, each of *overrides* (``key.path=value``) put over it.

    Raises:
        UsageError: no such recipe, or what it says (or is overridden with) is wrong; names the
            file and the path of the key.
    """
    known = names(folder)
    if name not in known:
        raise UsageError(f"There is no recipe {name!r}.", suggestion(name, known, "Known are: {}."))
    where = f"{folder.name}/{name}.yaml"
    data = _read(folder / f"{name}.yaml", where)
    changes = [settings.parse(text) for text in overrides]
    for change in changes:
        settings.put(data, change)
    try:
        return Recipe.named(name, data, folder)
    except ValidationError as error:
        raise recipe_errors.explain(error, where, changes) from None


def _read(path: Path, where: str) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - safe
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not UTF-8"
        raise UsageError(f"{where}{line}: no valid YAML: {problem}.", "Correct it.") from None
    if not isinstance(data, dict):
        raise UsageError(f"{where}: must be a mapping of keys to values.", "Correct it.")
    return data


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key that stands twice is an error, and not the last one's victory."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)
