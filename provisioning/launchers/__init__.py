"""How a spec is started, watched, logged and stopped: one module a launcher, found by its name."""

from __future__ import annotations

import sys
from typing import cast

from provisioning import named
from provisioning.launchers.base import Launcher


def load(name: str) -> Launcher:
    """The launcher *name*.

    Raises:
        UsageError: there is none.
    """
    return cast("Launcher", named.module(sys.modules[__name__], name, "launcher"))
