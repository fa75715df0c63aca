"""Tables of configuration keys, from the JSON schema of a pydantic model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
}
_KINDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true, false"}

Schema = Mapping[str, Any]


def table(
    model: type[BaseModel],
    *,
    less: type[BaseModel] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> str:
    """A Markdown table of every key of *model*, nested ones with their path.

    Keys that *less* has in the same way are left out. *kinds* says, by path, what a value looks
    like that a schema cannot describe.
    """
    rows = [row for row in rows_of(model) if less is None or row not in rows_of(less)]
    lines = ["| key | value | default | what it is |", "|---|---|---|---|"]
    for path, kind, default, about in rows:
        lines.append(f"| `{path}` | {(kinds or {}).get(path, kind)} | {default} | {about} |")
    return "\n".join(lines)


def rows_of(model: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    """Path, kind, default and description of every key of *model*."""
    schema = model.model_json_schema()
    return list(_rows(schema, schema, ""))


def _rows(schema: Schema, root: Schema, prefix: str) -> Iterator[tuple[str, str, str, str]]:
    needed = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        shape = _shape(field, root)
        path = f"{prefix}{name}"
        default = "needed" if name in needed else _default(field, shape)
        about = field.get("description") or shape.get("description", "")
        yield path, _kind(shape, root), default, _cell(about)
        inner = _shape(shape.get("items", {}), root)
        if "properties" in inner:
            yield from _rows(inner, root, f"{path}[].")
        yield from _rows(shape, root, f"{path}.")


def _shape(field: Schema, root: Schema) -> Schema:
    """*field* with its reference followed, and "or nothing" taken off."""
    options = [option for option in field.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        return _shape(options[0], root)
    if "$ref" in field:
        found: Schema = root["$defs"][field["$ref"].rpartition("/")[2]]
        return found
    return field


def _kind(shape: Schema, root: Schema) -> str:
    if "anyOf" in shape:
        return " or ".join(_kind(_shape(option, root), root) for option in shape["anyOf"])
    if "enum" in shape:
        return ", ".join(f"`{value}`" for value in shape["enum"])
    if shape.get("type") == "array":
        return f"list of {_kind(_shape(shape.get('items', {}), root), root)}"
    if shape.get("type") == "object":
        return "keys below" if "properties" in shape else "keys and values"
    return f"{_KINDS.get(shape.get('type', ''), 'any')} {_bounds(shape)}".strip()


def _bounds(shape: Schema) -> str:
    if "minimum" in shape and "maximum" in shape:
        return f"{shape['minimum']} to {shape['maximum']}"
    return ", ".join(text.format(shape[key]) for key, text in _BOUNDS.items() if key in shape)


def _default(field: Schema, shape: Schema) -> str:
    value = field.get("default", shape.get("default"))
    if value is None or "properties" in shape:
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
