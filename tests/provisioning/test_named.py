"""Modules found by their name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from provisioning import engines, launchers, named
from provisioning.errors import UsageError


def test_engines_and_launchers_are_found_by_name() -> None:
    """The contract module is none of them."""
    assert ("simulator" in named.names(engines), "base" in named.names(engines)) == (True, False)
    assert "process" in named.names(launchers)


def test_a_name_loads_its_module() -> None:
    """What comes back is the module with the contract's functions."""
    assert callable(engines.load("simulator").spec)
    assert callable(launchers.load("process").files)


@pytest.mark.parametrize(
    ("load", "name", "message"),
    [
        (engines.load, "simulater", "no engine 'simulater'. Did you mean 'simulator'?"),
        (launchers.load, "base", r"no launcher 'base'. Known are: .*process"),
    ],
)
def test_an_unknown_name_is_refused_with_what_there_is(
    load: Callable[[str], object], name: str, message: str
) -> None:
    """A close one is proposed, else all are listed."""
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        load(name)
