"""Templates to text. The only module that knows Jinja."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from provisioning.command import quote
from provisioning.errors import UsageError

TEMPLATES = Path(__file__).parent.parent / "templates"


def render(template: str, **values: object) -> str:
    """Fill ``templates/<template>``.

    Filters quote a value: ``sh`` (or many) for a shell, ``compose`` for a file of Compose.

    Raises:
        jinja2.UndefinedError: the template asks for a value that is not given.
        TypeError: a value to quote is not text or a number (a Secret, say).
        UsageError: one holds a NUL character, which nothing can be told.
    """
    return _environment.get_template(template).render(**values)


def _sh(value: object) -> str:
    if isinstance(value, (str, int, float)):
        return quote(_text(value))
    if isinstance(value, Iterable):
        return " ".join(_sh(item) for item in value)
    raise TypeError(f"cannot stand in a script: {type(value).__name__}")


def _compose(value: object) -> str:
    """A text in YAML, all but ASCII escaped, in which Compose finds no variable."""
    if not isinstance(value, (str, int, float)):
        raise TypeError(f"cannot stand in YAML: {type(value).__name__}")
    text = _text(value).replace("$", "$$")
    written: str = yaml.safe_dump(text, default_style='"', width=math.inf)
    return written.rstrip("\n")


def _text(value: str | float) -> str:
    if "\0" in str(value):
        raise UsageError("A value of the recipe holds a NUL character.", "Take it out.")
    return str(value)


_environment = Environment(  # noqa: S701 - shell and YAML, not HTML
    loader=FileSystemLoader(TEMPLATES),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["sh"] = _sh
_environment.filters["compose"] = _compose
