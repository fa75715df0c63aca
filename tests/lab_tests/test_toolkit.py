"""From a bare host to a container that sees the GPUs, and what may go wrong after that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from provisioning.deploys import docker, gpu, images, toolkit
from provisioning.errors import HostError
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab_tests.deploying import deploy, needs

pytestmark = [pytest.mark.integration, pytest.mark.lab]

TOPICS = (gpu, docker, toolkit, images)
SETTINGS = "/etc/docker/daemon.json"
HOOK = "/usr/bin/nvidia-container-runtime-hook"
LOOK = "docker run --rm --gpus all"


@pytest.fixture(scope="module")
def asked(lab: Lab) -> dict[str, Any]:
    return {
        "gpu": {"count": 2},
        "docker": {"source": "distribution", "insecure_registries": [lab.registry]},
        "toolkit": {"source": "mirror", "mirror": {"url": lab.archive_url, "trusted": True}},
        "images": [lab.image],
    }


@pytest.fixture(scope="module")
def bare(lab: Lab) -> Iterator[LabHost]:
    """A fresh host, not touched by anybody."""
    made = lab.host(gpu="rtx-pro-6000x8")
    yield made
    lab.remove(made)


@pytest.fixture
def host(bare: LabHost, asked: dict[str, Any]) -> LabHost:
    """The host, deployed."""
    deploy(bare, needs(bare, **asked), *TOPICS)
    return bare


def test_a_bare_host_ends_with_a_container_that_sees_its_gpus(
    bare: LabHost, lab: Lab, asked: dict[str, Any]
) -> None:
    """Told so; then by any container; a second run changes nothing."""
    said: list[str] = []
    changes = deploy(bare, needs(bare, **asked), *TOPICS, said=said)
    assert {"install docker.io", "install nvidia-container-toolkit"} <= set(changes)
    assert "a container sees 8 GPUs" in said
    seen = bare.ssh(f"{LOOK} {lab.image} nvidia-smi -L").stdout
    assert 8 == seen.count("UUID: GPU-")
    assert [] == deploy(bare, needs(bare, **asked), *TOPICS)


def test_the_proof_is_renewed_when_docker_was_restarted(
    host: LabHost, asked: dict[str, Any]
) -> None:
    """Only the container is run again."""
    host.docker_exec("systemctl restart docker")
    changes = deploy(host, needs(host, **asked), *TOPICS)
    assert any("--gpus=all" in line for line in changes)
    assert [] == [line for line in changes if line.startswith(("install", "restart", "reload"))]


@pytest.mark.parametrize(
    ("drift", "mended"),
    [
        (
            "dpkg --purge --force-depends nvidia-container-toolkit",
            "install nvidia-container-toolkit",
        ),
        (f"echo '{{}}' >{SETTINGS}; systemctl restart docker", "nvidia-ctk runtime configure"),
        ("nvidia-smi -pm 0", "nvidia-smi -pm 1"),
        ("docker image rm -f $(docker image ls -q)", "pull registry.lab:5000"),
    ],
    ids=["package", "settings", "persistence", "image"],
)
def test_what_drifted_is_put_right(
    host: LabHost, lab: Lab, asked: dict[str, Any], drift: str, mended: str
) -> None:
    """And then a container sees the GPUs again."""
    host.docker_exec(drift)
    changes = deploy(host, needs(host, **asked), *TOPICS)
    assert [] != [line for line in changes if mended in line]
    assert "UUID: GPU-" in host.ssh(f"{LOOK} {lab.image} nvidia-smi -L").stdout
    assert [] == deploy(host, needs(host, **asked), *TOPICS)


def test_settings_of_somebody_else_outlive_the_toolkits(
    host: LabHost, asked: dict[str, Any]
) -> None:
    """NVIDIA's own tool merges, too; the file it writes is not written again by us."""
    said = json.loads(host.docker_exec(f"cat {SETTINGS}"))
    host.write(SETTINGS, json.dumps({"log-opts": {"max-size": "9m"}, "log-driver": "json-file"}))
    deploy(host, needs(host, **asked), *TOPICS)
    now = json.loads(host.docker_exec(f"cat {SETTINGS}"))
    assert said | {"log-opts": {"max-size": "9m"}, "log-driver": "json-file"} == now


def test_docker_is_not_restarted_below_somebodys_container(
    host: LabHost, lab: Lab, asked: dict[str, Any]
) -> None:
    """A hook that came after Docker is told in one sentence; without the container it is cured."""
    host.docker_exec(f"mv {HOOK} /var/tmp/hook; systemctl restart docker; mv /var/tmp/hook {HOOK}")
    host.docker_exec(f"docker run -d --name theirs {lab.image} sleep 600")
    with pytest.raises(HostError) as caught:
        deploy(host, needs(host, **asked), *TOPICS)
    expected = "Docker does not know NVIDIA's toolkit: it was started before the toolkit was there."
    assert expected == caught.value.what
    assert "true" == host.docker_exec("docker inspect -f '{{.State.Running}}' theirs")
    host.docker_exec("docker rm -f theirs")
    assert "restart docker.service" in deploy(host, needs(host, **asked), *TOPICS)


def test_gpus_that_are_not_all_given_are_counted(host: LabHost, asked: dict[str, Any]) -> None:
    """A container that sees fewer than the host is no proof."""
    cli = "/usr/bin/nvidia-container-cli"
    host.docker_exec(
        f"cp {cli} /var/tmp/cli; sed -i 's/^device=all/set -- \"$@\"\\ndevice=0/' {cli}"
    )
    host.docker_exec(f"sed -i 's/--device=\\*) device=.*;; --pid/--pid/' {cli}")
    host.docker_exec("systemctl restart docker")
    with pytest.raises(HostError, match="A container sees 1 of the host's 8 GPUs"):
        deploy(host, needs(host, **asked), *TOPICS)
    host.docker_exec(f"cp /var/tmp/cli {cli}")
