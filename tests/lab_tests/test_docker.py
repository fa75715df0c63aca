"""Docker on lab hosts: installed, kept where it was there before, mended where it drifted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from provisioning.deploys import docker, images
from provisioning.errors import HostError
from provisioning.operations.images import digests
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab_tests.deploying import deploy, logged_in, needs

pytestmark = [pytest.mark.integration, pytest.mark.lab]

SETTINGS = "/etc/docker/daemon.json"
FOREIGN = {"log-driver": "json-file", "log-opts": {"max-size": "9m"}, "debug": True}
THEIRS = "tar -C /etc -c hostname | docker import - theirs:1"


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[LabHost]:
    """One that somebody has used: Docker with settings and an image of theirs."""
    made = lab.host(docker=True)
    made.write(SETTINGS, json.dumps(FOREIGN))
    made.docker_exec(f"systemctl restart docker && {THEIRS}")
    yield made
    lab.remove(made)


@pytest.fixture
def asked(lab: Lab) -> dict[str, Any]:
    registries = [lab.registry]
    return {"docker": {"source": "distribution", "insecure_registries": registries}}


def settings(host: LabHost) -> Any:
    return json.loads(host.docker_exec(f"cat {SETTINGS}"))


def started(host: LabHost) -> str:
    return host.docker_exec("systemctl show docker -p InvocationID")


def test_what_somebody_else_put_there_stays(host: LabHost, asked: dict[str, Any]) -> None:
    """Settings merged and read without a restart, images kept; and a second time nothing."""
    before = started(host)
    changes = deploy(host, needs(host, **asked), docker)
    assert FOREIGN | {"insecure-registries": ["registry.lab:5000"]} == settings(host)
    assert "reload docker.service" in changes
    assert before == started(host)
    assert "theirs" in host.docker_exec("docker image ls")
    assert host.ssh("docker image ls").stdout  # our user reaches it from its next login on
    assert [] == deploy(host, needs(host, **asked), docker)


def test_compose_comes_to_a_docker_that_was_there(
    host: LabHost, lab: Lab, asked: dict[str, Any]
) -> None:
    """The plug-in from the archive that is named; Docker itself is left alone."""
    mirror = {"url": lab.archive_url, "trusted": True}
    wanted = needs(host, docker={"source": "mirror", "mirror": mirror, "compose": "plugin"})
    changes = deploy(host, wanted, docker)
    assert ["install docker-compose-plugin"] == [c for c in changes if c.startswith("install")]
    assert host.docker_exec("docker compose version --short")
    assert [] == deploy(host, wanted, docker)


def test_images_are_pulled_by_digest_and_told_to_the_manifest(
    host: LabHost, lab: Lab, asked: dict[str, Any]
) -> None:
    """Once; from the registry that the settings name."""
    wanted = needs(host, **asked, images=[lab.image])
    deploy(host, wanted, docker)
    said: list[str] = []
    changes = deploy(host, wanted, docker, images, said=said)
    assert [f"pull {lab.image}"] == changes
    assert any(line.startswith("pulling registry.lab:5000/lab/python@sha256:") for line in said)
    with logged_in(host) as seen:
        assert {lab.image: lab.image.partition("@")[2]} == digests(seen, lab.image)
    assert [] == deploy(host, wanted, docker, images)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("registry.lab:5000/lab/python:none", "its registry has no such tag or digest"),
        ("registry.lab:5000/lab/none:1", "its registry has no such"),
        ("registry.lab:5999/x:1", "its registry cannot be reached from the host"),
        ("archive.lab:5080/x:1", "its registry speaks plain HTTP"),
    ],
    ids=["tag", "image", "registry", "http"],
)
def test_an_image_that_cannot_be_had_is_named(
    host: LabHost, lab: Lab, asked: dict[str, Any], image: str, why: str
) -> None:
    """By its name, and why."""
    assert lab.archive_url.startswith("http://archive.lab:5080")
    deploy(host, needs(host, **asked), docker)
    with pytest.raises(HostError) as caught:
        deploy(host, needs(host, **asked, images=[image]), docker, images)
    assert caught.value.what.startswith(f"The image {image} cannot be pulled: ")
    assert why in caught.value.what


def test_what_drifted_is_put_right(host: LabHost, asked: dict[str, Any]) -> None:
    """A service stopped and off at boot, settings edited, our user out of the group."""
    wanted = needs(host, **asked)
    deploy(host, wanted, docker)
    host.docker_exec("systemctl disable --now docker.service docker.socket; gpasswd -d dyno docker")
    host.write(SETTINGS, json.dumps(FOREIGN | {"max-concurrent-downloads": 2}))
    changes = deploy(host, wanted, docker)
    assert {"start docker.service", "add dyno to group docker"} <= set(changes)
    expected = {"insecure-registries": ["registry.lab:5000"], "max-concurrent-downloads": 2}
    assert FOREIGN | expected == settings(host)
    assert "enabled" == host.docker_exec("systemctl is-enabled docker")
    assert [] == deploy(host, wanted, docker)


def test_a_package_that_was_removed_is_installed_again(
    host: LabHost, asked: dict[str, Any]
) -> None:
    """What Docker had stored is still there."""
    wanted = needs(host, **asked)
    deploy(host, wanted, docker)
    host.docker_exec("DEBIAN_FRONTEND=noninteractive apt-get remove -y -qq docker.io >/dev/null")
    assert "install docker.io" in deploy(host, wanted, docker)
    assert "theirs" in host.docker_exec("docker image ls")
    assert [] == deploy(host, wanted, docker)


def test_settings_that_are_no_json_are_refused_and_left(
    host: LabHost, asked: dict[str, Any]
) -> None:
    """Before anything is changed."""
    deploy(host, needs(host, **asked), docker)
    good, bad = host.docker_exec(f"cat {SETTINGS}"), '{"debug": tru'
    host.write(SETTINGS, bad)
    with pytest.raises(HostError, match=f"are not JSON: .* \\({SETTINGS}\\)"):
        deploy(host, needs(host, **asked), docker)
    assert bad == host.docker_exec(f"cat {SETTINGS}")
    host.write(SETTINGS, good)


def test_a_server_that_does_not_start_says_why(host: LabHost, asked: dict[str, Any]) -> None:
    """In its own words, whatever systemd says of it."""
    deploy(host, needs(host, **asked), docker)
    good = settings(host)
    host.write(SETTINGS, json.dumps(good | {"dataroot": "/x"}))
    host.docker_exec("systemctl stop docker.socket docker.service")
    with pytest.raises(HostError) as caught:
        deploy(host, needs(host, **asked), docker)
    assert caught.value.what.startswith("Docker's server does not start: ")
    assert "don't match any configuration option: dataroot" in caught.value.what
    host.write(SETTINGS, json.dumps(good))
    deploy(host, needs(host, **asked), docker)  # unless systemd was faster
    assert "active" == host.docker_exec("systemctl is-active docker")


def test_an_empty_docker_moves_to_the_data_disk_and_one_in_use_does_not(
    lab: Lab, host: LabHost, asked: dict[str, Any]
) -> None:
    """Docker's folder and containerd's; images that are there stay where they are."""
    wanted = needs(host, **asked, data_disk={})
    deploy(host, wanted, docker)
    assert "/var/lib/docker" == host.docker_exec("docker info -f '{{.DockerRootDir}}'")
    host.docker_exec("docker image rm -f $(docker image ls -q | sort -u); docker image ls -q")
    deploy(host, wanted, docker)
    assert "/data/docker" == host.docker_exec("docker info -f '{{.DockerRootDir}}'")
    assert host.docker_exec("ls /data/containerd")
    assert [] == deploy(host, wanted, docker)
    deploy(host, needs(host, **asked, data_disk={}, images=[lab.image]), docker, images)
    assert host.docker_exec("ls /data/docker/image/*/imagedb/content/sha256")
