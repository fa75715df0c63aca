"""Which launcher fits which recipe."""

from __future__ import annotations

from typing import Any

import pytest

from provisioning import launchers, named
from provisioning.errors import UsageError
from provisioning.recipe_schema import Recipe


def recipe(launcher: str, container: dict[str, Any] | None) -> Recipe:
    said = {
        "description": "x",
        "model": {"name": "m"},
        "engine": {"name": "simulator", "container": container},
        "launcher": launcher,
        "load": {"points": [{"num_prompts": 1, "request_rate": "inf"}]},
    }
    return Recipe.named("x", said)


@pytest.mark.parametrize("name", named.names(launchers))
def test_containers_and_programs_are_told_apart(name: str) -> None:
    """Each launcher starts one kind, and refuses the other with what to do."""
    fits: dict[bool, Any] = {True: {"image": "i/i"}, False: None}
    contained = launchers.load(name).RUNS == "container"
    assert launchers.load(name) is launchers.of(recipe(name, fits[contained]))
    with pytest.raises(UsageError, match=rf"engine\.container.*{'' if contained else name}"):
        launchers.of(recipe(name, fits[not contained]))


def test_a_launcher_that_is_none_is_told() -> None:
    """With the nearest name."""
    with pytest.raises(UsageError, match="Did you mean 'compose'"):
        launchers.of(recipe("composed", None))
