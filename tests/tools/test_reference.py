"""Tables of keys, from pydantic models."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from tools.reference import fields


class Wheel(BaseModel):
    """A wheel."""

    size: int = Field(ge=1, le=9, description="In inches.")


class Car(BaseModel):
    name: str = Field(description="What it | is called.")
    wheels: list[Wheel] = Field(default=[], description="Its wheels.")
    spare: Wheel | None = Field(default=None)
    fuel: Literal["gas", "none"] = Field(default="none", description="What it burns.")
    load: float | None = Field(default=None, gt=0, description="In kg.")
    notes: dict[str, str] = Field(default_factory=dict, description="Anything.")


class Plain(BaseModel):
    name: str = Field(description="What it | is called.")
    fuel: str = Field(description="What it burns.")


def test_every_key_has_its_path_kind_default_and_text() -> None:
    """Nested keys follow their parent, lists with []; bounds and choices are said."""
    assert [
        ("name", "text", "needed", "What it \\| is called."),
        ("wheels", "list of keys below", "`[]`", "Its wheels."),
        ("wheels[].size", "whole number 1 to 9", "needed", "In inches."),
        ("spare", "keys below", "", "A wheel."),
        ("spare.size", "whole number 1 to 9", "needed", "In inches."),
        ("fuel", "`gas`, `none`", "`none`", "What it burns."),
        ("load", "number > 0", "", "In kg."),
        ("notes", "keys and values", "", "Anything."),
    ] == fields.rows_of(Car)


def test_keys_that_another_has_alike_are_left_out() -> None:
    """A key that differs from the other model's stays."""
    table = fields.table(Car, less=Plain, kinds={"load": "weight"})

    assert "| `name` |" not in table
    assert "| `fuel` | `gas`, `none` |" in table
    assert "| `load` | weight |" in table
