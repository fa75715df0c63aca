"""Docker is there, runs, and answers our user."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioning.errors import HostError
from provisioning.facts.compose import Kinds
from provisioning.facts.docker import Daemon
from provisioning.facts.groups import Membership
from provisioning.facts.units import Unit
from provisioning.host_schema import Docker as Wanted
from provisioning.operations import archives, docker
from provisioning.operations.apt import Archive
from tests.provisioning.gpu_hosts import (
    ABSENT,
    ACTIVE,
    DAEMON,
    DEBIAN_12,
    DEBIAN_13,
    NONE,
    RUNS,
    STOPPED,
    UBUNTU,
    fresh,
    lines,
    served,
)

DISTRIBUTION = Wanted(source="distribution")


def install(wanted: Wanted, archive: Archive | None = None, **facts: Any) -> list[str]:
    return lines(docker.installed(fresh(**facts), wanted, archive))


@pytest.mark.parametrize(
    ("machine", "packages"),
    [
        (DEBIAN_12, "docker.io"),
        (DEBIAN_13, "docker-cli, docker.io"),  # the command has a package of its own there
        (UBUNTU, "docker.io"),
    ],
    ids=["debian 12", "debian 13", "ubuntu"],
)
def test_the_distributions_docker_is_installed(machine: Any, packages: str) -> None:
    """Under the names that it has there."""
    assert [f"install {packages}"] == install(DISTRIBUTION, System=machine)


def test_dockers_own_comes_from_its_archive_at_the_version_that_is_pinned() -> None:
    """The archive and its key come first, then engine and command, both pinned."""
    wanted = Wanted(version="5:28.5.2-1~debian.12~bookworm")
    *before, last = install(wanted, archives.docker(DEBIAN_12))
    assert any("/etc/apt/sources.list.d/llm-dyno-docker.sources" in line for line in before)
    version = "=5:28.5.2-1~debian.12~bookworm"
    assert f"install containerd.io, docker-ce-cli{version}, docker-ce{version}" == last


@pytest.mark.parametrize(
    "facts",
    [
        {"Docker": DAEMON, "Units": ABSENT},  # of a snap, or rootless
        {"Docker": Daemon("none"), "Units": (STOPPED, NONE, NONE)},
    ],
    ids=["it answers", "it is stopped"],
)
def test_docker_that_is_there_is_kept(facts: dict[str, Any]) -> None:
    """From wherever it came: nothing is installed over it."""
    assert [] == install(DISTRIBUTION, **facts)


def test_an_installation_that_was_cut_off_is_repaired() -> None:
    """The unit is there already, and what it needs is not: a reboot came between."""
    there = {"Docker": Daemon("none"), "Units": (STOPPED, NONE, NONE)}
    half = ("docker.io", "runc")
    said = install(DISTRIBUTION, HalfInstalled=half, **there)
    assert ["repair the installation of docker.io, runc"] == said
    assert [] == install(Wanted(source="present"), HalfInstalled=half, **there)


def test_a_command_without_a_server_is_no_docker() -> None:
    """It is installed."""
    assert ["install docker.io"] == install(DISTRIBUTION, Docker=Daemon("none"))


def test_nothing_is_installed_where_it_has_to_be_there() -> None:
    """Source present: the check says what is missing, not this."""
    assert [] == install(Wanted(source="present"))


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (RUNS, []),
        (STOPPED, ["start docker.service"]),
        (replace(RUNS, file="disabled"), ["start docker.service"]),
        (Unit("loaded", "failed", "enabled"), ["start docker.service"]),
        (NONE, []),
    ],
    ids=["runs", "stopped", "disabled", "failed", "not of systemd"],
)
def test_its_service_runs_now_and_after_a_boot(unit: Unit, expected: list[str]) -> None:
    """A service that is stopped, failed, or off at boot is put right."""
    assert expected == lines(docker.running(served(Units=(unit, NONE, NONE))))


def test_a_host_without_systemd_has_no_units() -> None:
    """Then no service can be started, and none is."""
    assert [] == list(docker.running(served(Units=())))


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        ("ubuntu", {"sudo"}, ["add ubuntu to group docker"]),
        ("ubuntu", {"docker"}, []),
        ("root", set(), []),
    ],
)
def test_our_user_is_in_dockers_group(user: str, groups: set[str], expected: list[str]) -> None:
    """Root needs no group."""
    member = Membership(user, frozenset(groups))
    assert expected == lines(docker.ours(served(Groups=member)))


@pytest.mark.parametrize(
    ("daemon", "sudo"),
    [(DAEMON, False), (replace(DAEMON, access="root"), True), (None, True)],
    ids=["our login", "root alone", "not yet there"],
)
def test_commands_reach_docker_from_a_login_older_than_the_group(
    daemon: Daemon | None, sudo: bool
) -> None:
    """By root, where it does not answer our user."""
    command = docker.command(fresh(Docker=daemon), "ps", shown="x")
    assert (("docker", "ps"), sudo, "x") == (command.argv, command.sudo, command.shown)


@pytest.mark.parametrize(
    ("wanted", "found", "enough"),
    [
        ("none", Kinds(), True),
        ("any", Kinds(), False),
        ("any", Kinds(standalone="1.29.2"), True),
        ("plugin", Kinds(standalone="1.29.2"), False),
        ("plugin", Kinds(plugin="2.40.3"), True),
        ("standalone", Kinds(plugin="2.40.3"), False),
    ],
)
def test_compose_is_of_the_kind_that_is_wanted(wanted: Any, found: Kinds, enough: bool) -> None:
    """Either, the plug-in, or the older command; what is there is not installed."""
    asked = Wanted(source="distribution", compose=wanted)
    assert enough == docker.has_compose(found, asked)
    host = served(Compose=found, System=UBUNTU)
    assert enough == (list(docker.composed(host, asked, None)) == [])


@pytest.mark.parametrize(
    ("source", "kind", "machine", "package"),
    [
        ("vendor", "any", DEBIAN_12, "docker-compose-plugin"),
        ("mirror", "plugin", DEBIAN_12, "docker-compose-plugin"),
        ("vendor", "standalone", DEBIAN_12, "docker-compose"),
        ("distribution", "any", DEBIAN_12, "docker-compose"),
        ("distribution", "plugin", DEBIAN_13, "docker-compose"),
        ("distribution", "plugin", UBUNTU, "docker-compose-v2"),
    ],
)
def test_compose_is_a_package_of_the_source(
    source: Any, kind: Any, machine: Any, package: str
) -> None:
    """By the name it has there."""
    asked = Wanted(source=source, compose=kind)
    assert package == docker.compose_package(fresh(System=machine), asked)


def test_the_plug_in_comes_from_dockers_archive_to_a_docker_from_elsewhere() -> None:
    """The archive is added for it; not for the older command, which is the distribution's."""
    archive = archives.docker(DEBIAN_12)
    for kind, added in (("plugin", True), ("standalone", False)):
        commands = lines(
            docker.composed(served(), Wanted.model_validate({"compose": kind}), archive)
        )
        assert added == any("llm-dyno-docker.sources" in line for line in commands)


def test_a_distribution_without_the_plug_in_says_so() -> None:
    """Debian 12 has the older command only."""
    asked = Wanted(source="distribution", compose="plugin")
    with pytest.raises(HostError, match=r"Debian GNU/Linux 12.*no package with the plug-in"):
        docker.compose_package(fresh(), asked)


def test_nothing_is_asked_of_a_host_where_all_is_so() -> None:
    """Docker, service and group: not one command."""
    host = served(Compose=Kinds(plugin="2.40.3"), Units=ACTIVE)
    wanted = Wanted(source="distribution", compose="any")
    done = [docker.installed(host, wanted, None), docker.running(host), docker.ours(host)]
    assert [] == [c for each in (*done, docker.composed(host, wanted, None)) for c in each]
