"""What a recipe says: what is served, how, and the load on it. Every key, with its bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, PrivateAttr

from bench_agent import protocol
from provisioning.engine_schema import Container, Engine, Layout, Timeouts
from provisioning.host_schema import HostNeeds, Url
from provisioning.recipe_limits import Limits
from provisioning.recipe_load import Load, Point
from provisioning.recipe_values import Count, Seconds, Strict

__all__ = [
    "Container",
    "Engine",
    "Layout",
    "Limits",
    "Load",
    "Model",
    "Point",
    "Recipe",
    "Strict",
    "Timeouts",
]

_BREAKS = set("\x85\u2028\u2029")


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


class Recipe(Strict):
    """One engine configuration and its load; `name` is the file's."""

    description: str = Field(min_length=1, description="One line for people.")
    model: Model = Field(description="What is served.")
    engine: Engine = Field(description="The server.")
    launcher: str = Field(description="How it is started: a module of provisioning/launchers.")
    layout: Layout = Field(default_factory=Layout, description="How it is spread over the GPUs.")
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
