"""Templates to text. The only module that knows Jinja."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from provisioning.command import quote

TEMPLATES = Path(__file__).parent.parent / "templates"


def render(template: str, **values: object) -> str:
    """Fill ``templates/<template>``; the filter ``sh`` quotes a value, or many, for a shell.

    Raises:
        jinja2.UndefinedError: the template asks for a value that is not given.
        TypeError: a value to quote is not text or a number (a Secret, say).
    """
    return _environment.get_template(template).render(**values)


def _sh(value: object) -> str:
    if isinstance(value, (str, int, float)):
        return quote(str(value))
    if isinstance(value, Iterable):
        return " ".join(_sh(item) for item in value)
    raise TypeError(f"cannot stand in a script: {type(value).__name__}")


_environment = Environment(  # noqa: S701 - shell and YAML, not HTML
    loader=FileSystemLoader(TEMPLATES),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["sh"] = _sh
