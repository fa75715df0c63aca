"""What a recipe says: what is served, how, and the load on it. Every key, with its bounds."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    model_validator,
)

from bench_agent import protocol

_DEFAULTS = protocol.Limits()
_SECRET = re.compile(r"(^|_)(TOKEN|KEY|SECRET|PASSWORD|PASSPHRASE)$")
_OURS = {"port": "engine.port", "host": "nothing (loopback)", "model": "model.name"}


class Strict(BaseModel):
    """No unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


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


def _rate(value: Any) -> Any:
    if value in ("inf", math.inf):
        return "inf"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError("must be a number above 0, or inf")
    return float(value)


Count = Annotated[int, Field(ge=1, le=10_000_000)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Rate = Annotated[float | Literal["inf"], BeforeValidator(_rate)]


class Model(Strict):
    """The model that is served."""

    name: str = Field(min_length=1, description="Name or path; requests ask for it by this name.")
    revision: str | None = Field(default=None, description="Commit of the model's repository.")
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


class Workload(Strict):
    """A named traffic shape."""

    name: str = Field(default="random", description="A module of bench_agent/workloads.")
    input_len: Count = Field(default=128, description="Tokens of a prompt.")
    output_len: Count = Field(default=64, description="Tokens of a reply.")
    seed: int = Field(default=0, description="The same seed makes the same prompts.")
    options: dict[str, Any] = Field(default_factory=dict, description="The workload's own options.")

    def protocol(self) -> protocol.Workload:
        """The same, for the agent."""
        return protocol.Workload(**self.model_dump())


class Point(Strict):
    """One load level."""

    num_prompts: Count = Field(description="Requests to send.")
    max_concurrency: Count | None = Field(
        default=None, description="Requests open at a time, at most."
    )
    request_rate: Rate | None = Field(
        default=None, description="Requests a second, or `inf`: as fast as max_concurrency lets."
    )
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")] | None = Field(
        default=None,
        description="Name of its folder, after its number; by default made of its load.",
    )

    @model_validator(mode="after")
    def _load_is_given(self) -> Point:
        if self.max_concurrency is None and self.request_rate is None:
            raise ValueError("needs max_concurrency or request_rate (a number, or inf)")
        return self

    def label(self) -> str:
        """``c4``, ``inf``, ``qps2.5``, ``c4-qps2.5``, or its own name."""
        cap = None if self.max_concurrency is None else f"c{self.max_concurrency}"
        if self.name or not isinstance(self.request_rate, float):
            return self.name or cap or "inf"
        return "-".join(part for part in (cap, f"qps{self.request_rate:.10g}") if part)

    def protocol(self, index: int) -> protocol.Point:
        """The same, for the agent, with the name of its folder."""
        return protocol.Point(
            name=f"{index:02d}-{self.label()}",
            num_prompts=self.num_prompts,
            max_concurrency=self.max_concurrency,
            request_rate=None if self.request_rate == "inf" else self.request_rate,
        )


class Load(Strict):
    """The load."""

    api: Literal["completions", "chat"] = Field(
        default="completions", description="Endpoint that is used."
    )
    workload: Workload = Field(default_factory=Workload, description="The traffic's shape.")
    points: list[Point] = Field(min_length=1, description="Load levels, in order.")
    num_warmups: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Requests before each point that are not counted."
    )
    ignore_eos: bool = Field(default=True, description="Replies have their full length.")
    temperature: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="Sampling temperature; by default the server's."
    )
    extra_body: dict[str, Any] = Field(
        default_factory=dict, description="Further keys of each request."
    )


class Limits(Strict):
    """What a point may do and still be valid."""

    max_failed_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=_DEFAULTS.max_failed_share, description="Failed requests, of all."
    )
    request_timeout_s: Seconds = Field(
        default=_DEFAULTS.request_timeout_s, description="A request that takes longer has failed."
    )
    max_send_delay_ms: Annotated[float, Field(gt=0)] = Field(
        default=_DEFAULTS.max_send_delay_ms, description="P99 of how late the client sent."
    )
    max_coalesced_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=_DEFAULTS.max_coalesced_share, description="Reads that held several tokens, of all."
    )
    max_client_error_ms: Annotated[float, Field(gt=0)] = Field(
        default=_DEFAULTS.max_client_error_ms, description="Mean error of TTFT seen in calibration."
    )

    def protocol(self) -> protocol.Limits:
        """The same, for the agent."""
        return protocol.Limits(**self.model_dump())


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
    limits: Limits = Field(default_factory=Limits, description="What makes a point invalid.")
    timeouts: Timeouts = Field(default_factory=Timeouts, description="How long is waited.")
    planned_s: Seconds | None = Field(
        default=None,
        description="When the agent ends itself at the latest; by default a generous guess.",
    )
    _name: str = PrivateAttr(default="")

    @property
    def name(self) -> str:
        """The name of its file."""
        return self._name

    @classmethod
    def named(cls, name: str, data: Any) -> Recipe:
        """Make a recipe from plain values.

        Raises:
            pydantic.ValidationError: they do not fit.
        """
        recipe = cls.model_validate(data)
        recipe._name = name  # noqa: SLF001 - its own class
        return recipe

    def points(self) -> tuple[protocol.Point, ...]:
        """The load levels for the agent, named in order: ``00-c4``, ``01-inf``."""
        return tuple(point.protocol(i) for i, point in enumerate(self.load.points))

    def to_yaml(self) -> str:
        """The recipe as it takes effect, defaults and overrides included."""
        text = yaml.safe_dump(self.model_dump(), sort_keys=False, allow_unicode=True)
        return str(text)
