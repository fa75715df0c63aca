"""Steps of packages and system."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioning.deploys import system
from provisioning.errors import HostError, UsageError
from provisioning.facts.clock import State
from provisioning.facts.units import Unit
from provisioning.host_schema import HostNeeds
from provisioning.needs import Needs
from provisioning.operations import clock, limits
from provisioning.recipe_schema import Model
from tests.provisioning.fakes import FakeHost
from tests.provisioning.operations.test_limits import CONTAINER, PLAIN


def steps(**asked: Any) -> tuple[system.Step, ...]:
    needs = Needs(HostNeeds.model_validate(asked), Model(name="m"), None, "/w", "/w")
    return system.steps(needs)


def test_nothing_asked_is_no_step() -> None:
    """Neither of packages nor of the system."""
    assert () == steps()


def test_packages_are_a_step_of_their_own() -> None:
    """Other steps that use apt come after it; a time service may have to be installed too."""
    (step,) = steps(packages=["jq"])
    host = FakeHost(DebPackages={})
    assert ("packages", None, None) == (step.name, step.check, step.run)
    assert ["install jq"] == [str(c) for operation in step.operations for c in operation(host)]
    (step,) = steps(packages=["jq"], time_sync=True)
    assert (2, True) == (len(step.operations), clock.facts()[0] in step.facts)


def test_a_time_service_that_cannot_run_is_said_beforehand() -> None:
    """By the check."""
    (step,) = steps(time_sync=True)
    host = FakeHost({clock.facts()[0]: (Unit(),) * 4}, Clock=State(False, "lxc"), DebPackages={})
    assert step.check is not None
    with pytest.raises(HostError, match="No time service can run"):
        step.check(host)


@pytest.mark.parametrize(("synchronised", "lines"), [(True, 0), (False, 1)])
def test_a_clock_that_is_not_set_yet_is_told(synchronised: bool, lines: int) -> None:
    """No error: a host may reach no time server."""
    (step,) = steps(time_sync=True)
    said: list[str] = []
    assert step.run is not None
    step.run(FakeHost(Clock=State(synchronised)), said.append)
    assert lines == len(said)


def test_settings_come_before_limits() -> None:
    """A higher number of files has to be allowed first."""
    (step,) = steps(
        sysctl={"fs.nr_open": 2000000}, hugepages={"2048kB": 4}, limits={"nofile": "unlimited"}
    )
    names = [getattr(operation, "func").__name__ for operation in step.operations]  # noqa: B009 - partial
    assert (["settings", "reserved", "raised"], "system") == (names, step.name)
    assert 2000000 == getattr(step.operations[2], "keywords")["nr_open"]  # noqa: B009 - partial


def test_limits_are_checked_before_anything_is_changed() -> None:
    """Of a container, that is."""
    (step,) = steps(limits={"memlock": "unlimited"})
    assert step.check is not None
    known = dict.fromkeys(step.facts[1:])
    step.check(FakeHost(known, Limits=PLAIN))
    with pytest.raises(HostError, match="CAP_SYS_RESOURCE"):
        step.check(FakeHost(known, Limits=replace(CONTAINER)))


@pytest.mark.parametrize("key", ["fs.nr_open", "fs/nr_open"])
def test_the_most_files_there_may_be_are_the_recipes(key: str) -> None:
    """However the setting is written; what it is set to counts, not what it is."""
    (step,) = steps(limits={"nofile": 2000000}, sysctl={key: "2000000"})
    host = FakeHost(Limits=PLAIN)
    found = step.operations[-1].keywords["nr_open"]
    assert 2000000 == found
    limits.checked(host, {"nofile": 2000000}, found)


@pytest.mark.parametrize("value", ["1M", "many", "-1", "²"])
def test_a_number_of_files_that_is_none_is_named(value: str) -> None:
    """With key and value, before the host is asked anything."""
    with pytest.raises(UsageError, match=rf"fs\.nr_open is a number of files, and '{value}' is"):
        steps(limits={"nofile": 4096}, sysctl={"fs.nr_open": value})
