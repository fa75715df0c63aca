"""Nested JSON as rows that a person can read and search: a dotted path and a value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Row = tuple[str, str]


def sections(data: Mapping[str, Any]) -> list[tuple[str, list[Row]]]:
    """Rows by top-level key, those of plain values first under an empty name."""
    plain = [(key, _text(value)) for key, value in data.items() if _is_leaf(value)]
    nested = [(k, list(rows(v))) for k, v in data.items() if not _is_leaf(v)]
    return [("", plain), *nested] if plain else nested


def rows(value: Any, path: str = "") -> Iterator[Row]:
    """Each leaf of *value* with its path: ``points[0].name``."""
    if _is_leaf(value):
        yield path, _text(value)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from rows(inner, f"{path}.{key}" if path else str(key))
    else:
        for index, inner in enumerate(value):
            yield from rows(inner, f"{path}[{index}]")


def _is_leaf(value: Any) -> bool:
    """Whether *value* is one line: a scalar, something empty, or a list of scalars."""
    if isinstance(value, Mapping):
        return not value
    if isinstance(value, Sequence) and not isinstance(value, str):
        return not any(isinstance(v, (Mapping, list, tuple)) for v in value)
    return True


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
