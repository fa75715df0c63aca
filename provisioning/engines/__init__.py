"""What to serve: one module an engine, found by its name, with one function ``spec``."""

from __future__ import annotations

import sys
from typing import cast

from provisioning import named
from provisioning.engines.base import Engine


def load(name: str) -> Engine:
    """The engine *name*.

    Raises:
        UsageError: there is none.
    """
    return cast("Engine", named.module(sys.modules[__name__], name, "engine"))
