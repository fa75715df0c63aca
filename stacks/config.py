"""What a stack is to be: the keys that every cloud has.

A cloud module adds its own by subclassing `StackConfig` as `Config`. The reference page is
generated from the descriptions.
"""

from __future__ import annotations

import datetime as dt
import getpass
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from stacks import duration

Ttl = Annotated[int, BeforeValidator(duration.seconds)]


class StackConfig(BaseModel):
    """Keys in a preset, or under ``llm-dyno:`` in ``stacks/Pulumi.<stack>.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    cloud: str = Field(description="Where the machine is: a module of stacks/clouds.")
    preset: str | None = Field(
        default=None,
        description="The file of stacks/presets to begin with; without it, the stack's own name.",
    )
    recipe: str = Field(
        default="rehearsal",
        pattern=r"^[a-z0-9][a-z0-9-]*(:[a-z0-9-]+)?$",
        description="The recipe that `fab bench` runs when none is named.",
    )
    ttl: Ttl | None = Field(
        default=None,
        description="Time to live, counted from the creation of the stack: 4h, 90m, 1h30m "
        "(1m to 14d). A later change does not move the end of a stack that stands.",
    )
    owner: str = Field(
        default_factory=getpass.getuser,
        min_length=1,
        max_length=63,
        description="Whose machine it is, in names and labels; without it, the login name.",
    )
    price_usd_per_hour: float = Field(
        default=0.0, ge=0, le=10_000, description="What the stack costs while it stands, in USD."
    )
    price_model: str = Field(
        default="unknown", description="How it is paid: on-demand, spot, reserved, owned …"
    )
    price_source: str = Field(
        default="not stated", description="Where the price is from: a price list, a bill, a URL."
    )
    price_date: dt.date | None = Field(
        default=None, description="The day on which that price was read (YYYY-MM-DD)."
    )

    @model_validator(mode="after")
    def _a_price_has_a_source(self) -> StackConfig:
        if self.price_usd_per_hour and not (self.price_date and self.has_price_source()):
            raise ValueError("price_usd_per_hour: needs price_source and price_date beside it")
        return self

    def has_price_source(self) -> bool:
        """Whether somebody said where the price is from."""
        return "price_source" in self.model_fields_set
