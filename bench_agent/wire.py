"""Dataclasses to JSON and back, with the path of what does not fit."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")

_SCALARS = (str, int, float, bool)


class WireError(ValueError):
    """A JSON value does not have the shape that its dataclass says."""


def encode(value: Any) -> Any:
    """Turn a dataclass, and what it holds, into plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(k): encode(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(v) for v in value]
    return value


def decode(cls: type[T], data: Any, path: str = "") -> T:
    """Build *cls* from JSON values; unknown and missing keys and wrong types are named.

    Raises:
        WireError: with the path of the first value that does not fit.
    """
    return typing.cast("T", _decode(cls, data, path))


def _decode(want: Any, data: Any, path: str) -> Any:
    if want is Any:
        return data
    origin = typing.get_origin(want)
    if origin in (types.UnionType, typing.Union):
        return _decode_optional(want, data, path)
    if origin in (list, tuple):
        _expect(data, list, path)
        item = typing.get_args(want)[0]
        return origin(_decode(item, v, f"{path}[{i}]") for i, v in enumerate(data))
    if origin is dict or want is dict:
        _expect(data, dict, path)
        item = (typing.get_args(want) or (str, Any))[1]
        return {k: _decode(item, v, _join(path, k)) for k, v in data.items()}
    if dataclasses.is_dataclass(want):
        return _decode_dataclass(typing.cast("type", want), data, path)
    return _decode_scalar(want, data, path)


def _decode_optional(want: Any, data: Any, path: str) -> Any:
    if data is None:
        return None
    (inner,) = (a for a in typing.get_args(want) if a is not type(None))
    return _decode(inner, data, path)


def _decode_dataclass(cls: Any, data: Any, path: str) -> Any:
    _expect(data, dict, path)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in data:
        if key not in fields:
            raise WireError(f"{_join(path, key)}: unknown key (known: {', '.join(sorted(fields))})")
    hints = typing.get_type_hints(cls)
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _decode(hints[name], data[name], _join(path, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise WireError(f"{_join(path, name)}: missing")
    return cls(**values)


def _decode_scalar(want: Any, data: Any, path: str) -> Any:
    if want is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if want in _SCALARS and (not isinstance(data, want) or (want is int and data is True)):
        raise WireError(f"{path}: expected {want.__name__}, got {_describe(data)}")
    if want is int and isinstance(data, bool):
        raise WireError(f"{path}: expected int, got bool")
    return data


def _expect(data: Any, kind: type, path: str) -> None:
    if not isinstance(data, kind):
        what = {"dict": "an object", "list": "an array"}[kind.__name__]
        raise WireError(f"{path or 'document'}: expected {what}, got {_describe(data)}")


def _describe(data: Any) -> str:
    return "null" if data is None else f"{type(data).__name__} {data!r:.60}"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
