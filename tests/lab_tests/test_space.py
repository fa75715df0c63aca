"""Disks that are full: one sentence, what to do, nothing half done; with room, it is completed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab.options import USER
from tests.lab_tests import whole
from tests.lab_tests.stacks import LabStack
from tests.provisioning.hub import Hub

pytestmark = [pytest.mark.integration, pytest.mark.lab]

WORKDIR = f"/home/{USER}/llm-dyno"
STORE = "/var/lib/docker"
ARCHIVES = "/var/cache/apt/archives"
SMALL = {WORKDIR: "24m", STORE: "40m", ARCHIVES: "1m"}


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[LabHost]:
    found = lab.host(docker=True, small=SMALL)
    found.docker_exec(f"chown {USER}: {WORKDIR}")
    yield found
    lab.remove(found)


@pytest.fixture(scope="module")
def stack(host: LabHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabStack]:
    with whole.stack(tmp_path_factory.mktemp("stack"), host) as found:
        yield found


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with whole.hub() as found:
        yield found


def wish(**values: Any) -> list[str]:
    """Arguments of `fab`: a recipe that asks for *values* (``__`` stands for a dot) alone."""
    texts = [f"{key.replace('__', '.')}={json.dumps(value)}" for key, value in values.items()]
    return ["--json", "--recipe", "rehearsal", *(p for text in texts for p in ("--set", text))]


def refused(stack: LabStack, *asked: str) -> str:
    """What a person is told: what happened, in one sentence, and what to do."""
    done = stack.fab("provision", *asked)
    (told,) = json.loads(done.out)["hosts"]
    assert 0 != done.code, done.said
    assert "\n" not in told["error"]["what"]
    assert told["error"]["advice"]
    return str(told["error"]["what"])


def completes(stack: LabStack, *asked: str) -> None:
    """Run again."""
    done = stack.fab("provision", *asked)
    (told,) = json.loads(done.out)["hosts"]
    assert (0, True) == (done.code, bool(told.get("changed"))), done.said


def room(host: LabHost, folder: str) -> None:
    host.docker_exec(f"rm -f {folder}/filler; mount -o remount,size=1g {folder}")


def audit(host: LabHost) -> str:
    return host.docker_exec(f"cat {WORKDIR}/audit.log 2>/dev/null || :")


def test_room_that_the_recipe_asks_for_is_looked_at_first(host: LabHost, stack: LabStack) -> None:
    """Nothing is begun."""
    asked = wish(host={"free_disk_gb": 2, "packages": ["tree"]})
    assert f"{WORKDIR} of {host.name} has 0.0 GB left" in refused(stack, *asked)
    assert "" == audit(host)


def test_no_room_for_a_lock(host: LabHost, stack: LabStack) -> None:
    """Told so, and none is left."""
    host.docker_exec(f"dd if=/dev/zero of={WORKDIR}/filler bs=4k 2>/dev/null || :")
    try:
        said = refused(stack, *wish(host={"packages": ["ed"]}))
        assert "" == host.docker_exec(f"ls {WORKDIR} | grep lock || :")
        assert "no space left" in said.lower()
    finally:
        host.docker_exec(f"rm {WORKDIR}/filler")


def test_no_room_for_packages(host: LabHost, stack: LabStack) -> None:
    """None is half installed."""
    asked = wish(host={"packages": ["git-man"]})
    assert "The host has no space left for packages." == refused(stack, *asked)
    assert "" == host.docker_exec("dpkg --audit; dpkg-query -W git-man 2>/dev/null || :")
    room(host, ARCHIVES)
    completes(stack, *asked)


def test_no_room_for_an_image(host: LabHost, stack: LabStack, lab: Lab) -> None:
    """No part of it is kept."""
    docker = {"source": "distribution", "insecure_registries": [lab.registry]}
    asked = wish(host={"docker": docker, "images": [lab.image]})
    said = refused(stack, *asked)
    assert f"The image {lab.image} cannot be pulled: there is no space left for it." == said
    assert "" == host.docker_exec("docker image ls -q")
    assert 10 > int(host.docker_exec(f"du -sm {STORE} | cut -f 1"))
    room(host, STORE)
    completes(stack, *asked)


def test_no_room_for_a_model(host: LabHost, stack: LabStack, hub: Hub) -> None:
    """Neither for what brings it nor for itself; what is there is kept, and used."""
    first, second = (wish(model__name=name, model__hub=hub.url) for name in whole.MODELS)
    assert "The host has no space left for the virtual environment." == refused(stack, *first)
    room(host, WORKDIR)
    completes(stack, *first)
    host.fill_disk(WORKDIR, leave_mib=8)
    said = refused(stack, *second)
    assert f"are missing on {WORKDIR}/models, and there is room for" in said
    room(host, WORKDIR)
    completes(stack, *second)
