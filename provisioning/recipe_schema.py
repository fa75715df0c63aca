"""What a recipe says: what is served, how, and the load on it. Every key, with its bounds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr

from bench_agent import protocol
from provisioning.host_schema import HostNeeds, Url
from provisioning.recipe_limits import Limits
from provisioning.recipe_load import Load, Point
from provisioning.recipe_values import Count, Seconds, Strict

__all__ = ["Engine", "Limits", "Load", "Model", "Point", "Recipe", "Strict", "Timeouts"]

_SECRET = re.compile(r"(^|_)(TOKEN|KEY|SECRET|PASSWORD|PASSPHRASE)$")
_BREAKS = set("\x85\u2028\u2029")
_OURS = {"port": "engine.port", "host": "nothing (loopback)", "model": "model.name"}


def _no_secret(env: dict[str, str]) -> dict[str, str]:
    for name in env:
        if _SECRET.search(name):
            raise ValueError(f"{name} looks like a secret; recipes hold none")
    return env


def _not_ours(args: dict[str, Any]) -> dict[str, Any]:
    for name in args:
        plain = name.lstrip("-").replace("-", "_")
        if plain in _OURS:
            raise ValueError(f"{name} is not set here; set {_OURS[plain]}")
        if _SECRET.search(plain.upper()):
            raise ValueError(f"{name} looks like a secret; recipes hold none")
    return args


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Model(Strict):
    """The model that is served."""

    name: str = Field(min_length=1, description="Name or path; requests ask for it by this name.")
    revision: str | None = Field(default=None, description="Commit of the model's repository.")
    path: str | None = Field(
        default=None,
        pattern=r"^/\S",
        description="Folder on the host that holds it; used as it is.",
    )
    hub: Url | None = Field(
        default=None, description="Model hub; default: `$HF_ENDPOINT`, else Hugging Face's own."
    )
    max_model_len: Count | None = Field(default=None, description="Longest context, in tokens.")


class Engine(Strict):
    """The server."""

    name: str = Field(description="A module of provisioning/engines.")
    args: Annotated[dict[str, Any], AfterValidator(_not_ours)] = Field(
        default_factory=dict, description="Its arguments: `max_num_seqs: 8` is `--max-num-seqs 8`."
    )
    env: Annotated[
        dict[EnvName, Annotated[str, BeforeValidator(_as_text)]], AfterValidator(_no_secret)
    ] = Field(default_factory=dict, description="Its environment; no secrets.")
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None, description="The port it listens on; by default one that is free on the host."
    )


class Timeouts(Strict):
    """How long is waited."""

    ready_s: Seconds = Field(
        default=1800.0, description="From the engine's start to its first answer."
    )
    stop_s: Seconds = Field(
        default=20.0, description="For the engine to end by itself, when asked to."
    )


class Recipe(Strict):
    """One engine configuration and its load; `name` is the file's."""

    description: str = Field(min_length=1, description="One line for people.")
    model: Model = Field(description="What is served.")
    engine: Engine = Field(description="The server.")
    launcher: str = Field(description="How it is started: a module of provisioning/launchers.")
    load: Load = Field(description="The load.")
    host: HostNeeds = Field(
        default_factory=HostNeeds, description="What the host is to be before that."
    )
    limits: Limits = Field(default_factory=Limits, description="What makes a point invalid.")
    timeouts: Timeouts = Field(default_factory=Timeouts, description="How long is waited.")
    planned_s: Seconds | None = Field(
        default=None,
        description="When the agent ends itself at the latest; by default a generous guess.",
    )
    _name: str = PrivateAttr(default="")
    _folder: Path | None = PrivateAttr(default=None)

    @property
    def name(self) -> str:
        """The name of its file."""
        return self._name

    @property
    def folder(self) -> Path | None:
        """Where its file lies; None when it was made of plain values."""
        return self._folder

    @classmethod
    def named(cls, name: str, data: Any, folder: Path | None = None) -> Recipe:
        """Make a recipe from plain values.

        Raises:
            pydantic.ValidationError: they do not fit.
        """
        recipe = cls.model_validate(data)
        recipe._name = name  # noqa: SLF001 - its own class
        recipe._folder = folder  # noqa: SLF001 - its own class
        return recipe

    def points(self) -> tuple[protocol.Point, ...]:
        """The load levels for the agent, named in order: ``00-c4``, ``01-inf``."""
        return self.load.protocol_points()

    def to_yaml(self) -> str:
        """The recipe as it takes effect, defaults and overrides included."""
        plain = self.model_dump()
        text = str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
        if _BREAKS & set(text):  # PyYAML writes them as they are, and reads them as line ends
            text = str(yaml.safe_dump(plain, sort_keys=False))
        return text
