from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from stacks import naming


def test_a_name_is_the_same_each_time() -> None:
    """Stack and the hash of project, stack and owner: a recorded name."""
    assert "dyno-local-990559" == naming.resource_name("llm-dyno", "local", "root")


def test_another_owner_has_another_name() -> None:
    """Two people with one stack name do not meet."""
    names = {naming.resource_name("llm-dyno", "local", owner) for owner in ("ann", "bob")}

    assert 2 == len(names)


@given(st.text(max_size=80), st.text(max_size=80))
def test_every_name_fits_the_strictest_cloud(stack: str, owner: str) -> None:
    """Whatever a stack is called: lower case, digits, dashes, at most 52 characters."""
    name = naming.resource_name("llm-dyno", stack, owner)

    assert re.fullmatch(r"dyno-[a-z0-9]([a-z0-9-]*[a-z0-9])?-[0-9a-f]{6}", name)
    assert len(name) <= 52
