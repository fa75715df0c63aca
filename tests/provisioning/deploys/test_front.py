"""Nginx for several instances: brought, and never left running because of us."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioning.deploys import front
from provisioning.facts.deb_packages import DebPackages
from provisioning.facts.units import Unit
from provisioning.needs import Needs
from provisioning.recipe_schema import Layout
from tests.provisioning import gpu_hosts
from tests.provisioning.gpu_hosts import NONE, RUNS, lines

OFF = Unit("loaded", "inactive", "disabled", "")
MASKED = Unit("masked", "inactive", "masked-runtime", "")


def asked(which: Any = "nginx") -> Needs:
    return replace(gpu_hosts.needs(), layout=Layout(instances=2, front=which))


def done(packages: dict[str, str], *units: Unit) -> list[str]:
    """What is done on a host with these packages, and this unit of nginx's."""
    host = gpu_hosts.fresh(Units=units, DebPackages=packages)
    return lines(front.installed(host))


def test_the_agent_needs_no_front() -> None:
    """Nothing is installed for it, nothing said."""
    assert () == front.steps(asked("agent"))
    assert {} == front.about(gpu_hosts.fresh(), asked("agent"))


def test_it_is_kept_from_running_while_it_comes() -> None:
    """Its package starts it: first that is forbidden, then it is left off for good."""
    assert [
        "sudo -n systemctl mask --runtime nginx.service",
        "install nginx",
        "leave nginx.service off",
    ] == done({}, NONE)


@pytest.mark.parametrize("unit", [RUNS, OFF])
@pytest.mark.parametrize("package", ["nginx", "nginx-light", "nginx-core", "nginx-full"])
def test_one_that_is_there_stays_as_it_is(package: str, unit: Unit) -> None:
    """Running or not: it is somebody's."""
    assert [] == done({package: "1.22.1-9"}, unit)


def test_an_attempt_that_broke_off_is_ended() -> None:
    """It came, and its service is still forbidden by us."""
    assert ["sudo -n systemctl mask --runtime nginx.service", "leave nginx.service off"] == done(
        {"nginx": "1.22.1-9"}, MASKED
    )


def test_without_systemd_nothing_starts_it() -> None:
    """It is only installed."""
    assert ["install nginx"] == done({})


def test_the_step_knows_what_it_asks() -> None:
    """In the first exchange, and after all others that use apt."""
    (step,) = front.steps(asked())
    assert DebPackages() in step.facts
    assert {"packages", "docker", "toolkit", "gpu"} <= set(step.after)


def test_the_manifest_knows_its_version() -> None:
    """Of the packages that are there."""
    host = gpu_hosts.fresh(DebPackages={"nginx": "1.22.1-9", "jq": "1"})
    assert {"nginx": "1.22.1-9"} == front.about(host, asked())
