"""The time service."""

from __future__ import annotations

import pytest

from provisioning.errors import HostError
from provisioning.facts.clock import State
from provisioning.facts.units import Unit
from provisioning.operations import clock
from tests.provisioning.fakes import FakeHost

RUNS = Unit("loaded", "active", "enabled")
IDLE = Unit("loaded", "inactive", "disabled")
NONE = Unit()


def having(*units: Unit, container: str = "") -> FakeHost:
    """Units in the order of `clock.SERVICES`."""
    return FakeHost(
        {clock.facts()[0]: units},
        Clock=State(synchronised=False, container=container),
        DebPackages={},
    )


@pytest.mark.parametrize("number", range(4))
def test_any_service_that_runs_will_do(number: int) -> None:
    """Whoever put it there; in a container too."""
    units = [NONE] * 4
    units[number] = RUNS
    assert [] == list(clock.kept(having(*units, container="lxc")))


def test_the_one_that_is_there_is_started() -> None:
    """Clouds bring chrony along."""
    (command,) = clock.kept(having(IDLE, NONE, NONE, IDLE))
    assert "sudo -n systemctl enable --now chrony.service" == str(command)


def test_systemds_is_installed_where_there_is_none() -> None:
    """And started; so it is where systemd tells of no units."""
    expected = [
        "install systemd-timesyncd",
        "sudo -n systemctl enable --now systemd-timesyncd.service",
    ]
    assert expected == [str(command) for command in clock.kept(having(*[NONE] * 4))]
    assert expected == [str(command) for command in clock.kept(having())]


def test_a_container_has_no_clock_of_its_own() -> None:
    """Nothing is started that could not run."""
    with pytest.raises(HostError, match=r"is a container \(docker\), whose clock is its machine's"):
        list(clock.kept(having(*[NONE] * 4, container="docker")))
