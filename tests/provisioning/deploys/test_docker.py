"""The step `docker`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioning.deploys import docker, images, toolkit
from provisioning.deploys.step import Step
from provisioning.errors import HostError
from provisioning.facts.compose import Kinds
from provisioning.facts.daemon_json import Settings
from provisioning.facts.stores import Stores
from tests.provisioning.fakes import FakeHost
from tests.provisioning.gpu_hosts import DAEMON, DEBIAN_12, fresh, lines, needs, served


def step(**asked: Any) -> Step:
    (found,) = docker.steps(needs(**asked))
    return found


def refused(host: FakeHost, asked: dict[str, Any]) -> str:
    """Why the check refuses *host*."""
    check = step(docker=asked).check
    assert check is not None
    with pytest.raises(HostError) as caught:
        check(host)
    return caught.value.what


def would(host: FakeHost, **asked: Any) -> list[str]:
    """What the step would do, were each operation to find the host as it is now."""
    return [line for operation in step(**asked).operations for line in lines(operation(host))]


def test_docker_that_is_not_asked_for_is_no_step() -> None:
    """Nothing is asked, nothing is done."""
    assert () == docker.steps(needs())


def test_a_fresh_host_gets_all_of_it_settings_first() -> None:
    """So that Docker starts with them; the last is Compose."""
    asked = {"source": "distribution", "insecure_registries": ["r:5000"], "compose": "any"}
    (check,) = [step(docker=asked).check]
    assert check is not None
    check(fresh())
    found = would(fresh(), docker=asked)
    assert found[1].startswith("write /etc/docker/daemon.json")
    expected = ["install docker.io", "add ubuntu to group docker", "install docker-compose"]
    assert expected == found[2:]


def test_a_data_disk_gets_the_images() -> None:
    """Docker's folder and containerd's; what they hold is asked for only then."""
    with_disk = {"docker": {"source": "distribution"}, "data_disk": {}}
    found = would(served(Images=()), **with_disk)
    assert {"restart docker.service", "make /etc/containerd"} <= set(found)
    assert Stores() in step(**with_disk).facts
    assert Stores() not in step(docker={}).facts


def test_a_host_where_all_is_so_hears_nothing() -> None:
    """Not one command."""
    host = served(Compose=Kinds(plugin="2.40.3"))
    assert [] == would(host, docker={"compose": "any"})


@pytest.mark.parametrize(
    ("host", "asked", "what"),
    [
        (
            served(DaemonJson=Settings(there=True, trouble="Expecting ',' delimiter: line 1")),
            {},
            "Docker's settings on fake-host are not JSON: Expecting ',' delimiter: line 1",
        ),
        (fresh(), {"source": "present"}, "There is no Docker on the host"),
        (
            served(),
            {"version": "5:28.5.2-1~debian.12~bookworm"},
            "Docker 20.10.24+dfsg1 is on the host, and the recipe asks for 5:28.5.2",
        ),
        (
            fresh(System=replace(DEBIAN_12, distribution="fedora", os="Fedora 42")),
            {},
            "Docker has no package archive for Fedora 42.",
        ),
        (
            served(),
            {"source": "present", "compose": "plugin"},
            "The host lacks the plug-in `docker compose`, and the recipe installs none",
        ),
        (
            served(),
            {"source": "present", "compose": "any"},
            "The host lacks Docker Compose, and the recipe installs none",
        ),
        (
            fresh(),
            {"source": "distribution", "compose": "plugin"},
            "Debian GNU/Linux 12 (bookworm) has no package with the plug-in",
        ),
    ],
)
def test_what_cannot_be_brought_about_is_refused_before_anything_is_changed(
    host: FakeHost, asked: dict[str, Any], what: str
) -> None:
    """One sentence on what is wrong."""
    assert what in refused(host, asked)
    assert [] == host.ran


@pytest.mark.parametrize(
    ("kind", "what", "advice"),
    [
        ("snap", "Docker on the host is a snap", "sudo snap remove docker"),
        ("rootless", "The Docker that answers our user is rootless", "docker context use default"),
    ],
)
def test_a_docker_that_cannot_serve_is_refused(kind: Any, what: str, advice: str) -> None:
    """Whoever asks for it: the steps for Docker, for the toolkit, or for images alone."""
    host = served(Docker=replace(DAEMON, kind=kind), Images=())
    asked = (needs(docker={}), needs(toolkit={}), needs(images=["x:1"]))
    steps = (docker.steps(asked[0]), toolkit.steps(asked[1]), images.steps(asked[2]))
    for (found,) in steps:
        assert found.check is not None
        with pytest.raises(HostError) as caught:
            found.check(host)
        assert what in caught.value.what
        assert advice in caught.value.advice


def test_a_pinned_version_that_is_there_is_accepted() -> None:
    """And a server that does not answer is started first; its version is not known."""
    pinned = step(docker={"version": "20.10.24+dfsg1-1+b3"}).check
    assert pinned is not None
    pinned(served())
    pinned(served(Docker=replace(DAEMON, access="none", version="")))


def test_the_manifest_is_told_what_docker_is() -> None:
    """Nothing where there is none, or none was asked for."""
    asked = needs(docker={})
    about = docker.about(served(Compose=Kinds(standalone="1.29.2-3")), asked)
    assert ("20.10.24+dfsg1", "1.29.2-3") == (about["version"], about["compose_standalone"])
    assert [{}, {}] == [docker.about(fresh(), asked), docker.about(served(), needs())]
