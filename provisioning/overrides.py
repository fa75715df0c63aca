"""Overrides on the command line: ``--set load.points.0.num_prompts=8``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from provisioning.errors import UsageError

_INDEX = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True)
class Override:
    """The keys from the outermost in, as written; and the value."""

    keys: tuple[str, ...]
    value: Any

    def __str__(self) -> str:
        return ".".join(self.keys)


def parse(text: str) -> Override:
    """Read ``key.path=value``; the value is YAML, ``points[0]`` is the same as ``points.0``.

    Raises:
        UsageError: it has not that form.
    """
    path, equals, value = text.partition("=")
    keys = tuple(_INDEX.sub(r".\1", path.strip()).split("."))
    if not equals or not all(keys):
        raise UsageError(
            f"--set {text}: not of the form key.path=value.",
            "For example: --set load.points.0.num_prompts=8.",
        )
    try:
        return Override(keys, yaml.safe_load(value))
    except yaml.YAMLError:
        raise UsageError(f"--set {text}: the value is no valid YAML.", "Quote it.") from None


def put(data: Any, override: Override) -> None:
    """Put *override* into *data*, in place; objects on the way are made.

    Raises:
        UsageError: the path leads past the end of a list, or into a plain value.
    """
    *path, last = override.keys
    for i, key in enumerate(path):
        data = _enter(data, key, override, ".".join(path[:i]))
    if isinstance(data, list):
        data[_index(data, last, override, ".".join(path))] = override.value
    elif isinstance(data, dict):
        data[last] = override.value
    else:
        raise _into_value(override, ".".join(path))


def _enter(data: Any, key: str, override: Override, path: str) -> Any:
    if isinstance(data, list):
        return data[_index(data, key, override, path)]
    if not isinstance(data, dict):
        raise _into_value(override, path)
    if data.get(key) is None:
        data[key] = {}
    return data[key]


def _index(data: list[Any], key: str, override: Override, path: str) -> int:
    if key.isdecimal() and int(key) < len(data):
        return int(key)
    raise UsageError(
        f"--set {override}: {path} has {len(data)} entries, there is none {key!r}.",
        f"Use 0 to {len(data) - 1}." if data else "Set the whole list.",
    )


def _into_value(override: Override, path: str) -> UsageError:
    return UsageError(f"--set {override}: {path} is a plain value.", "Set it as a whole.")
