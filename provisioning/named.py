"""Modules that are found by their name: engines and launchers. No list to edit."""

from __future__ import annotations

import importlib
import pkgutil
from difflib import get_close_matches
from types import ModuleType

from provisioning.errors import UsageError

CONTRACT = "base"


def module(package: ModuleType, name: str, what: str) -> ModuleType:
    """The module *name* of *package*; *what* is the word for it in messages.

    Raises:
        UsageError: there is none; lists those that there are.
    """
    known = names(package)
    if name not in known:
        raise UsageError(f"There is no {what} {name!r}.", suggestion(name, known, "Known are: {}."))
    return importlib.import_module(f"{package.__name__}.{name}")


def names(package: ModuleType) -> list[str]:
    """Names of all modules of *package* but its contract."""
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name != CONTRACT)


def suggestion(name: str, known: list[str], otherwise: str) -> str:
    """Did you mean …? Else *otherwise*, with the known names in its ``{}``."""
    close = get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else otherwise.format(", ".join(known))
