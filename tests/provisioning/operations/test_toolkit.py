"""NVIDIA Container Toolkit is there, and Docker knows it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioning.facts.daemon_json import Settings
from provisioning.facts.docker import Daemon
from provisioning.host_schema import Toolkit as Wanted
from provisioning.operations import archives, toolkit
from tests.provisioning.gpu_hosts import DAEMON, TOOLKIT, fresh, lines, served

ARCHIVE = archives.toolkit()
CONFIGURE = "sudo -n nvidia-ctk runtime configure --runtime=docker"
LEGACY = "sudo -n nvidia-ctk config --set nvidia-container-runtime.mode=legacy --in-place"
WITH_NVIDIA = replace(DAEMON, runtimes=("nvidia", "runc"))
NEWER = replace(TOOLKIT, newer_than_docker=True)


def test_it_is_installed_from_its_archive() -> None:
    """Key and source of the archive, then the package."""
    commands = lines(toolkit.installed(fresh(), Wanted(), ARCHIVE))
    assert "install nvidia-container-toolkit" == commands[-1]
    assert any("llm-dyno-nvidia-toolkit.sources" in line for line in commands)


def test_a_pinned_version_pins_all_its_parts() -> None:
    """Else apt would mix it with newer parts, or refuse."""
    *_, last = lines(toolkit.installed(fresh(), Wanted(version="1.17.8-1"), ARCHIVE))
    parts = ("libnvidia-container-tools", "libnvidia-container1", "nvidia-container-toolkit")
    named = [*parts, "nvidia-container-toolkit-base"]
    assert sorted(f"{part}=1.17.8-1" for part in named) == sorted(last[8:].split(", "))


def test_half_a_toolkit_is_made_whole() -> None:
    """The hook is in a package of its own, that can be gone while the rest is there."""
    half = served(Toolkit=replace(TOOLKIT, whole=False))
    assert (
        "install nvidia-container-toolkit" == lines(toolkit.installed(half, Wanted(), ARCHIVE))[-1]
    )


@pytest.mark.parametrize(
    ("host", "archive"), [(served(), ARCHIVE), (fresh(), None)], ids=["there", "present"]
)
def test_one_that_is_there_or_has_to_be_is_not_installed(host: Any, archive: Any) -> None:
    """Nothing over a toolkit of somebody's, nothing for source present."""
    assert [] == list(toolkit.installed(host, Wanted(), archive))


@pytest.mark.parametrize(
    ("values", "mode", "expected"),
    [
        ({}, None, [CONFIGURE]),
        ({"runtimes": None}, None, [CONFIGURE]),
        ({"runtimes": {"nvidia": {"path": "x"}}}, None, []),
        ({"runtimes": {"nvidia": {}}}, "legacy", []),
        ({"runtimes": {"nvidia": {}}}, "cdi", [LEGACY.replace("legacy", "cdi")]),
    ],
)
def test_dockers_file_names_the_runtime(values: Any, mode: Any, expected: list[str]) -> None:
    """Only where it does not yet; the mode only where another one is wanted."""
    host = served(DaemonJson=Settings(there=True, values=values))
    assert expected == lines(toolkit.configured(host, mode))


def test_the_mode_of_a_toolkit_that_is_not_there_yet_is_set() -> None:
    """A dry run on a fresh host shows both."""
    assert [LEGACY, CONFIGURE] == lines(toolkit.configured(fresh(), "legacy"))


@pytest.mark.parametrize(
    ("daemon", "found", "expected"),
    [
        (WITH_NVIDIA, TOOLKIT, []),
        (WITH_NVIDIA, NEWER, ["restart docker.service"]),
        (DAEMON, NEWER, ["restart docker.service"]),
        (DAEMON, TOOLKIT, ["reload docker.service"]),
        (replace(WITH_NVIDIA, running=2), NEWER, []),
        (replace(DAEMON, running=2), NEWER, ["reload docker.service"]),
        (replace(WITH_NVIDIA, running=2, live_restore=True), NEWER, ["restart docker.service"]),
        (Daemon("none"), NEWER, []),
        (None, None, []),
    ],
    ids=[
        "all known",
        "the hook came after docker",
        "both",
        "the runtime alone",
        "containers run",
        "containers run, no runtime",
        "containers that survive",
        "no answer",
        "no docker",
    ],
)
def test_docker_is_restarted_for_the_hook_only_and_ends_no_container(
    daemon: Any, found: Any, expected: list[str]
) -> None:
    """A runtime is read again without a restart; one that would end containers is not done."""
    assert expected == lines(toolkit.known(served(Docker=daemon, Toolkit=found)))
