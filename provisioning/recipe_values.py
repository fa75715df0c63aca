"""The kinds of values that a recipe holds, with their bounds."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MOST = 10_000_000


class Strict(BaseModel):
    """No unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _rate(value: Any) -> Any:
    if value in ("inf", math.inf):
        return "inf"
    if not _number(value) or not value > 0:
        raise ValueError("must be a number above 0, or inf")
    return float(value)


def _rates(value: Any) -> Any:
    return _ladder(value, _rate)


def _count(value: Any) -> Any:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST:
        raise ValueError(f"must be a whole number from 1 to {MOST}, or a list of them")
    return value


def _counts(value: Any) -> Any:
    return _ladder(value, _count)


def _ladder(value: Any, step: Any) -> Any:
    if not isinstance(value, list):
        return step(value)
    if not value:
        raise ValueError("must not be an empty list")
    steps = [step(each) for each in value]
    if len(set(steps)) < len(steps):
        raise ValueError("has the same step twice; `repeats` measures a point again")
    return steps


Count = Annotated[int, Field(ge=1, le=MOST)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float | Literal["inf"], BeforeValidator(_rate)]
#: One value, or a ladder: a point for each.
Rates = Annotated[float | Literal["inf"] | list[float | Literal["inf"]], BeforeValidator(_rates)]
Counts = Annotated[int | list[int], BeforeValidator(_counts)]
