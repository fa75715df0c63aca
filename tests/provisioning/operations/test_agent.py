"""The working folder, and the agent in it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from provisioning import agent as agents
from provisioning.command import Fact
from provisioning.errors import HostError
from provisioning.facts.paths import AtPath, Found
from provisioning.facts.python import Python
from provisioning.host import Host
from provisioning.operations import agent, workdir
from provisioning.remote import LocalRemote
from tests.provisioning.fakes import FakeHost

NAME = "bench-agent-0123456789ab.pyz"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(LocalRemote(tmp_path), f"{tmp_path}/w x")


def test_a_fresh_host_costs_two_exchanges_and_a_second_time_one(host: Host) -> None:
    """Asked and changed; then only asked, and no command is run."""
    archive = agents.build()
    assert host.apply(agent.shipped, archive.name, archive.data)
    assert 2 == host.remote.exchanges
    again = Host(host.remote, host.workdir)
    assert [] == list(agent.shipped(again, archive.name, archive.data))
    assert 3 == host.remote.exchanges


def test_the_agent_answers_where_it_is_looked_for(host: Host) -> None:
    """`agent.entry_point` is a program that runs the archive."""
    archive = agents.build()
    host.apply(agent.shipped, archive.name, archive.data)
    done = subprocess.run(
        [agents.entry_point(host.workdir), "version"], capture_output=True, text=True, check=True
    )
    assert '"protocol": 1' in done.stdout


def test_folders_are_for_us_alone(host: Host) -> None:
    """All that we make is mode 0700."""
    host.apply(workdir.prepared)
    folders = [Path(host.workdir), *(Path(host.path(name)) for name in workdir.FOLDERS)]
    assert {0o700} == {folder.stat().st_mode & 0o777 for folder in folders}


def test_a_folder_that_was_there_keeps_its_mode(host: Host) -> None:
    """The working folder may be a person's own."""
    Path(host.workdir).mkdir(mode=0o755)
    host.apply(workdir.prepared)
    assert 0o755 == Path(host.workdir).stat().st_mode & 0o777


def test_an_archive_that_is_there_is_not_sent_again() -> None:
    """Its name is its hash: only the entry point is written for another Python."""
    folder = Found("directory", 0o700)
    paths = {AtPath("/w"): folder} | {AtPath(f"/w/{name}"): folder for name in workdir.FOLDERS}
    pythons = (Python("/usr/bin/python3.12", (3, 12, 0)),)
    host = FakeHost(
        paths | {AtPath("/w/agent/current"): None}, Pythons=pythons, Agents=frozenset({NAME})
    )
    (command,) = agent.shipped(host, NAME, b"archive")
    expected = f'#!/bin/sh\nexec /usr/bin/python3.12 -I -S /w/agent/{NAME} "$@"\n'
    assert expected == command.payload().decode()


def test_a_host_without_python_gets_nothing() -> None:
    """The message says what to install, before anything is changed."""
    paths: dict[Fact[Any], Found | None] = {AtPath("/w"): None, AtPath("/w/agent/current"): None}
    paths |= {AtPath(f"/w/{name}"): None for name in workdir.FOLDERS}
    host = FakeHost(paths, Pythons=(), Agents=frozenset())
    with pytest.raises(HostError, match="no Python"):
        host.apply(agent.shipped, NAME, b"archive")
    assert [] == host.ran
