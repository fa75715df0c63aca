"""What a recipe is put together from: files that extend each other, variants; who said what."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from provisioning.errors import UsageError
from provisioning.named import suggestion

#: Keys of a file that say how it is put together; the recipe itself has them no more.
EXTENDS, VARIANTS = "extends", "variants"
NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")  # becomes a part of run ids

Plain = dict[str, Any]


@dataclass(frozen=True)
class Layer:
    """Plain values, and where they stand: ``recipes/a.yaml``, ``recipes/a.yaml, variant fp8``."""

    where: str
    data: Plain


def names(folder: Path) -> list[str]:
    """Names of the recipes in *folder*."""
    return sorted(path.stem for path in folder.glob("*.yaml") if NAME.fullmatch(path.stem))


def files(name: str, folder: Path) -> list[Layer]:
    """The file of the recipe *name*, after those that it extends: the farthest first.

    Raises:
        UsageError: one of them is not there, is no mapping, or they go round in a circle.
    """
    chain: list[str] = []
    layers: list[Layer] = []
    while True:
        chain.append(name)
        layer = Layer(f"{folder.name}/{name}.yaml", _read(name, folder))
        layers.insert(0, layer)
        parent = layer.data.get(EXTENDS)
        if parent is None:
            return layers
        if not isinstance(parent, str) or parent not in names(folder):
            raise _no_parent(layer, parent, folder)
        if parent in chain:
            circle = " extends ".join([*chain[chain.index(parent) :], parent])
            raise UsageError(f"{layer.where}: {EXTENDS}: {circle}.", "Break the circle.")
        name = parent


def variants(layers: Sequence[Layer]) -> dict[str, list[Layer]]:
    """The layers that each variant puts over those of the files, in order.

    A file adds to the variants of those it extends; ``variants: null`` takes them away, and
    a variant that is null is none.

    Raises:
        UsageError: they are not written as they should be.
    """
    found: dict[str, list[Layer]] = {}
    for layer in layers:
        here = layer.data.get(VARIANTS, {})
        if here is None:
            found.clear()
            continue
        for name, data in _mapping(layer, here, VARIANTS).items():
            if data is None:
                found.pop(name, None)
                continue
            own = Layer(f"{layer.where}, variant {name}", _variant(layer, name, data))
            found.setdefault(name, []).append(own)
    return found


def merged(layers: Sequence[Layer]) -> Plain:
    """One mapping of all: mappings join, key by key; whatever else comes later stands alone."""
    result: Plain = {}
    for layer in layers:
        _join(result, {k: v for k, v in layer.data.items() if k not in (EXTENDS, VARIANTS)})
    return result


def blamed(layers: Sequence[Layer], path: Sequence[str | int]) -> str:
    """Where the value at *path* was said: the last layer that has the longest part of it."""
    depths = [_depth(layer.data, path) for layer in layers]
    deepest = max(depths, default=0)
    if not deepest:  # nobody said it: the file that was asked for should have
        return next((one.where for one in reversed(layers) if "," not in one.where), "recipe")
    return next(
        layer.where
        for layer, depth in zip(reversed(layers), reversed(depths), strict=True)
        if depth == deepest
    )


def _join(into: Plain, data: Plain) -> None:
    for key, value in data.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _join(into[key], value)
        else:
            into[key] = deepcopy(value)


def _depth(data: Any, path: Sequence[str | int]) -> int:
    for depth, key in enumerate(path):
        inside = isinstance(data, list) and isinstance(key, int) and key < len(data)
        if not inside and not (isinstance(data, dict) and key in data):
            return depth
        data = data[key]
    return len(path)


def _variant(layer: Layer, name: Any, data: Any) -> Plain:
    path = f"{VARIANTS}.{name}"
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UsageError(
            f"{layer.where}: {path}: no name of a variant.", "Use small letters, digits and -."
        )
    here: Plain = _mapping(layer, data, path)
    for key in (EXTENDS, VARIANTS):
        if key in here:
            raise UsageError(f"{layer.where}: {path}.{key}: not in a variant.", "Leave it out.")
    return here


def _mapping(layer: Layer, data: Any, path: str) -> Plain:
    if not isinstance(data, dict):
        raise UsageError(
            f"{layer.where}: {path}: must be a mapping of keys to values, got {data!r}.",
            "Correct it.",
        )
    return data


def _no_parent(layer: Layer, parent: Any, folder: Path) -> UsageError:
    known = [name for name in names(folder) if f"/{name}.yaml" not in layer.where]
    return UsageError(
        f"{layer.where}: {EXTENDS}: there is no recipe {parent!r}.",
        suggestion(str(parent), known, "Known are: {}."),
    )


def _read(name: str, folder: Path) -> Plain:
    where = f"{folder.name}/{name}.yaml"
    try:
        text = (folder / f"{name}.yaml").read_text(encoding="utf-8")
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - safe
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
