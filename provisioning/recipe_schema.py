"""What a recipe says: what is served, how, and the load on it. Every key, with its bounds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import ConfigDict, Field, PrivateAttr, model_validator

from bench_agent import protocol
from provisioning.engine_schema import Container, Engine, Layout, Timeouts
from provisioning.host_schema import HostNeeds, Url
from provisioning.recipe_limits import Limits
from provisioning.recipe_load import Load, Point
from provisioning.recipe_values import Count, Seconds, Strict

__all__ = [
    "Container",
    "Convert",
    "Engine",
    "Family",
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
#: Name and password in an address, wherever in a value that stands (`a @ https://…`).
_USERINFO = re.compile(r"(https?://)[^/?#\s]*@", re.IGNORECASE)


class Convert(Strict):
    """A model that is made from another by llm-compressor; `revision` and `hub` are of that."""

    model_config = ConfigDict(serialize_by_alias=True)

    source: str = Field(
        alias="from", min_length=1, description="Name of a hub's model, or a folder on the host."
    )
    scheme: Literal["fp8-dynamic"] = Field(
        description="`fp8-dynamic`: weights in FP8, activations as they come."
    )
    ignore: list[str] = Field(
        default=["lm_head"], description="Layers that stay as they are; `re:` before a pattern."
    )


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
    convert: Convert | None = Field(
        default=None, description="The model is made on the host first, out of another."
    )

    @model_validator(mode="after")
    def _made_or_there(self) -> Self:
        if self.convert and self.path:
            raise ValueError("`path` and `convert`: leave one out")
        return self


class Family(Strict):
    """How a file is put together with others; all else in it is a recipe's."""

    extends: str | None = Field(
        default=None,
        description="Another recipe that this one begins with: its keys take the place of those, "
        "mappings key by key, lists as a whole.",
    )
    variants: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Recipes of one series: for each name the keys that are its own. "
        "`fab bench` runs one after another, in this order.",
    )


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
    second_opinion: list[Literal["vllm", "compressa"]] = Field(
        default_factory=list,
        description="Other clients that measure the same points afterwards: `vllm` "
        "(vllm bench serve), `compressa` (compressa-perf).",
    )
    planned_s: Seconds | None = Field(
        default=None,
        description="When the agent ends itself at the latest; by default a generous guess.",
    )
    _name: str = PrivateAttr(default="")
    _folder: Path | None = PrivateAttr(default=None)
    _variant: str | None = PrivateAttr(default=None)
    _stands_for: dict[str, Any] | None = PrivateAttr(default=None)

    @property
    def name(self) -> str:
        """The name of its file."""
        return self._name

    @property
    def folder(self) -> Path | None:
        """Where its file lies; None when it was made of plain values."""
        return self._folder

    @property
    def variant(self) -> str | None:
        """Which of its file's variants this is; None for a file without any."""
        return self._variant

    @property
    def title(self) -> str:
        """``name``, or ``name:variant``: what `--recipe` understands."""
        return f"{self._name}:{self._variant}" if self._variant else self._name

    @property
    def stands_for(self) -> dict[str, Any] | None:
        """What it is the rehearsal of: engine, model …; None for the recipe itself."""
        return self._stands_for

    def known_as(
        self,
        name: str,
        folder: Path | None,
        variant: str | None = None,
        stands_for: dict[str, Any] | None = None,
    ) -> Recipe:
        """The same recipe under a name; see the properties."""
        recipe = self.model_copy()
        recipe._name, recipe._folder = name, folder  # noqa: SLF001 - its own class
        recipe._variant, recipe._stands_for = variant, stands_for  # noqa: SLF001 - its own class
        return recipe

    @classmethod
    def named(cls, name: str, data: Any, folder: Path | None = None) -> Recipe:
        """Make a recipe from plain values.

        Raises:
            pydantic.ValidationError: they do not fit.
        """
        return cls.model_validate(data).known_as(name, folder)

    def points(self) -> tuple[protocol.Point, ...]:
        """The load levels for the agent, named in order: ``00-c4``, ``01-inf``."""
        return self.load.protocol_points()

    def to_yaml(self) -> str:
        """The recipe as it takes effect, defaults and overrides included; no passwords of URLs."""
        plain = _without_userinfo(self.model_dump())
        text = str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
        if _BREAKS & set(text):  # PyYAML writes them as they are, and reads them as line ends
            text = str(yaml.safe_dump(plain, sort_keys=False))
        return text


def _without_userinfo(value: Any) -> Any:
    """Plain *value* with nobody's name and password in its addresses."""
    if isinstance(value, dict):
        return {key: _without_userinfo(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_userinfo(one) for one in value]
    return _USERINFO.sub(r"\1[REDACTED]@", value) if isinstance(value, str) else value
