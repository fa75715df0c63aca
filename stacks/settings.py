"""From preset and overrides to a checked configuration; every mistake with its file and key."""

from __future__ import annotations

import difflib
import importlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stacks.config import StackConfig
from stacks.failure import Failure

NAMESPACE = "llm-dyno"
HERE = Path(__file__).resolve().parent
PRESETS = HERE / "presets"
CLOUDS = HERE / "clouds"
_LONGEST_SHOWN = 60


@dataclass(frozen=True)
class Settings:
    """What a person set for one stack: Pulumi's configuration, namespace taken off."""

    stack: str
    values: Mapping[str, Any]
    secret: frozenset[str] = frozenset()

    def place(self, key: str) -> str:
        """Where *key* stands, as a person finds it."""
        return f"stacks/Pulumi.{self.stack}.yaml: {NAMESPACE}:{key}"


def from_pulumi(stack: str, config: Mapping[str, Any], secret: Iterable[str] = ()) -> Settings:
    """The settings of our namespace in Pulumi's whole configuration of a stack."""
    own = f"{NAMESPACE}:"
    values = {k.removeprefix(own): _decoded(v) for k, v in config.items() if k.startswith(own)}
    return Settings(stack, values, frozenset(k.removeprefix(own) for k in secret))


def load(settings: Settings, presets: Path = PRESETS) -> StackConfig:
    """The configuration of a stack: its preset with the settings laid over it.

    Raises:
        Failure: no such preset or cloud, an unknown key, a value of the wrong type or range.
    """
    preset, name = _preset(settings, presets)
    places = {key: f"stacks/presets/{name}.yaml: {key}" for key in preset}
    places |= {key: settings.place(key) for key in settings.values}
    merged = {**preset, **settings.values}
    cloud = _cloud(merged.get("cloud"), places.get("cloud", f"stacks/presets/{name}.yaml: cloud"))
    config: type[StackConfig] = importlib.import_module(f"stacks.clouds.{cloud}").Config
    try:
        return config.model_validate(merged)
    except ValidationError as error:
        lines = [_sentence(e, config, places, settings) for e in error.errors()]
        raise Failure("\n".join(lines)) from None


def cloud_names() -> list[str]:
    """The clouds there are: the modules of stacks/clouds."""
    names = (path.stem for path in CLOUDS.glob("*.py"))
    return sorted(n for n in names if n != "base" and not n.startswith("_"))


def preset_names(presets: Path = PRESETS) -> list[str]:
    """The presets there are."""
    return sorted(path.stem for path in presets.glob("*.yaml"))


def _preset(settings: Settings, presets: Path) -> tuple[dict[str, Any], str]:
    name, known = str(settings.values.get("preset", settings.stack)), preset_names(presets)
    if name not in known:
        way = f"`pulumi config set preset NAME --stack {settings.stack}`"
        raise Failure(
            f"{settings.place('preset')}: there is no preset {name!r}{_hint(name, known)}; "
            f"the presets are {', '.join(known)}. Choose one with {way}."
        )
    return _read(presets / f"{name}.yaml"), name


def _read(path: Path) -> dict[str, Any]:
    place = f"stacks/presets/{path.name}"
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise Failure(f"{place}: is not YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict):
        raise Failure(f"{place}: should be a mapping of keys to values.")
    return content


def _cloud(name: Any, place: str) -> str:
    known = cloud_names()
    if name not in known:
        hint = _hint(str(name), known)
        raise Failure(f"{place}: there is no cloud {name!r}{hint}; there are {', '.join(known)}.")
    return str(name)


def _sentence(
    error: ErrorDetails, config: type[StackConfig], places: Mapping[str, str], settings: Settings
) -> str:
    path = [str(part) for part in error["loc"]]
    key = path[0] if path else ""
    place = places.get(key, settings.place(key)) if key else f"stacks/Pulumi.{settings.stack}.yaml"
    place = ".".join((place, *path[1:]))
    if error["type"] == "extra_forbidden":
        known = list(config.model_fields) if len(path) == 1 else []
        return f"{place}: there is no such key{_hint(path[-1], known)}."
    if error["type"] == "missing":
        return f"{place}: is missing; this cloud needs it."
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{place}: {message}{_shown(error['input'], key in settings.secret)}."


def _shown(value: Any, secret: bool) -> str:
    if secret or not isinstance(value, str | int | float):
        return ""
    return f", got {value!r}" if len(repr(value)) <= _LONGEST_SHOWN else ""


def _hint(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _decoded(value: Any) -> Any:
    """Pulumi hands lists and objects over as JSON text."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
