"""What tests on lab hosts begin with, unless they say it otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab_tests.apt_held import begin_bare
from tests.lab_tests.stacks import LabStack, stack_of


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[LabHost]:
    """One for all tests of a module that can share it."""
    found = lab.host()
    yield found
    lab.remove(found)


@pytest.fixture(scope="module")
def stack(host: LabHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    """The stack of that host."""
    with stack_of(tmp_path_factory.mktemp("stack"), host) as found:
        yield found


@pytest.fixture
def bare(host: LabHost) -> LabHost:
    """The host without what tests of packages install."""
    return begin_bare(host)
