"""Fixtures of the lab, for every test: skipped, with a line that says why, where no lab can be.

`lab_host(**options)` and `lab_hosts(count, **options)` make fresh hosts that go with the test; a
module that shares hosts between its tests makes them in a fixture of its own, by `lab.host(…)`,
and gives them back with `lab.remove(…)`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab.machine import LabError


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The lab of this run of the tests."""
    try:
        found = Lab(f"t{os.getpid()}-")
    except LabError as error:
        pytest.skip(f"no lab here: {error}")
    yield found
    found.close()


@pytest.fixture
def lab_hosts(lab: Lab) -> Iterator[Callable[..., list[LabHost]]]:
    """Makes fresh hosts, gone after the test."""
    made: list[LabHost] = []

    def make(count: int, **options: Any) -> list[LabHost]:
        hosts = lab.hosts(count, **options)
        made.extend(hosts)
        return hosts

    yield make
    lab.remove(*made)


@pytest.fixture
def lab_host(lab_hosts: Callable[..., list[LabHost]]) -> Callable[..., LabHost]:
    """Makes a fresh host, gone after the test."""

    def make(**options: Any) -> LabHost:
        return lab_hosts(1, **options)[0]

    return make
