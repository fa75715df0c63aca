"""What is wrong with a recipe, in one sentence a person can act on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from provisioning.errors import UsageError
from provisioning.named import suggestion
from provisioning.overrides import Override
from provisioning.recipe_layers import Layer, blamed
from provisioning.recipe_schema import Family, Recipe

Path = tuple[str | int, ...]

#: What must stand there instead, by the kind of error; its context fills the gaps.
_MUST = {
    "int_type": "be a whole number",
    "float_type": "be a number",
    "finite_number": "be a number",
    "string_type": "be text",
    "bool_type": "be true or false",
    "dict_type": "be a mapping of keys to values",
    "model_type": "be a mapping of keys to values",
    "list_type": "be a list",
    "too_short": "not be empty",
    "string_too_short": "not be empty",
    "greater_than_equal": "be ≥ {ge}",
    "greater_than": "be > {gt}",
    "less_than_equal": "be ≤ {le}",
    "less_than": "be < {lt}",
    "literal_error": "be {expected}",
    "string_pattern_mismatch": "match {pattern}",
}


def explain(
    error: ValidationError, layers: Sequence[Layer], overrides: Sequence[Override] = ()
) -> UsageError:
    """Say where and what; further ones by path only.

    Where: the file or variant whose value it is, or the override that did it.
    """
    first, *others = error.errors()
    path = _path(first)
    also = ", ".join(dotted(_path(other)) for other in others)
    source = next((f"--set {o}" for o in overrides if _set_by(o, path, first["type"])), None)
    what, advice = _problem(first, path)
    return UsageError(
        f"{source or blamed(layers, path)}: {dotted(path)}: {what}"
        + (f" Also wrong: {also}." if also else ""),
        advice,
    )


def dotted(path: Path) -> str:
    """``load.points[0].num_prompts``."""
    text = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)
    return text.removeprefix(".") or "recipe"


def _path(details: ErrorDetails) -> Path:
    return tuple(part for part in details["loc"] if part != "[key]")


def _set_by(override: Override, path: Path, kind: str) -> bool:
    keys = tuple(map(str, path))
    # An unknown key may be one that the override made on its way further in.
    made = kind == "extra_forbidden" and override.keys[: len(keys)] == keys
    return made or keys[: len(override.keys)] == override.keys


def _problem(details: ErrorDetails, path: Path) -> tuple[str, str]:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        known = sorted(_fields(path[:-1]))
        return "unknown key.", suggestion(str(path[-1]), known, "Known here are: {}.")
    if kind == "missing":
        return "missing.", "Add it."
    if kind == "value_error":
        return f"{context['error']}.", ""
    must = _MUST.get(kind)
    what = f"must {must.format(**context)}" if must else details["msg"]
    return f"{what}, got {_brief(details['input'])}.", ""


def _brief(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _fields(path: Path) -> list[str]:
    """Keys that are known at *path*."""
    model: Any = Recipe
    for part in path:
        if isinstance(part, str):
            model = _model_in(_by_key(model)[part].annotation)
    family = [] if path else list(Family.model_fields)
    return [*_by_key(model), *family]


def _by_key(model: Any) -> dict[str, Any]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
