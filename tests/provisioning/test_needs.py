"""What a deploy is made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from provisioning import needs
from provisioning.errors import UsageError
from provisioning.recipe_schema import Recipe
from stacks.outputs import DataDisk, HostOutput

HOST = HostOutput("h", (), "127.0.0.1", 22, "u", (), "/home/u/w")
WITH_DISK = HostOutput(
    "h", (), "127.0.0.1", 22, "u", (), "/home/u/w", data_disk=DataDisk("/dev/sdb", "/mnt/big")
)


def recipe(**host: Any) -> Recipe:
    said = {
        "description": "x",
        "model": {"name": "m"},
        "engine": {"name": "simulator"},
        "launcher": "process",
        "load": {"points": [{"num_prompts": 1, "request_rate": "inf"}]},
        "host": host,
    }
    return Recipe.named("x", said, Path("/recipes"))


@pytest.mark.parametrize(
    ("asked", "host", "data"),
    [
        ({}, WITH_DISK, "/home/u/w"),
        ({"data_disk": {}}, WITH_DISK, "/mnt/big"),
        ({"data_disk": {"mount": "/srv"}}, WITH_DISK, "/srv"),
        ({"data_disk": {}}, HOST, "/data"),
        ({"data_disk": {}}, None, "/data"),
    ],
)
def test_bulky_things_go_to_the_disk_that_is_asked_for(
    asked: dict[str, Any], host: HostOutput | None, data: str
) -> None:
    """The recipe's folder, the stack's, or a usual one; without a disk, the working folder."""
    assert data == needs.of(recipe(**asked), host, "/home/u/w").data


def test_the_recipe_is_known_by_its_parts() -> None:
    """Its needs, its model, and where its files lie."""
    made = needs.of(recipe(packages=["jq"]), HOST, "/w")
    assert (["jq"], "m", Path("/recipes"), HOST, "/w") == (
        made.needs.packages,
        made.model.name,
        made.recipe_folder,
        made.host,
        made.workdir,
    )


def test_an_engine_may_read_no_weights() -> None:
    """It says so itself; a model is not downloaded for it."""
    assert not needs.of(recipe(), HOST, "/w").weights


def test_an_engine_that_is_none_is_told() -> None:
    """Before a host is asked for anything."""
    said = recipe().model_dump() | {"engine": {"name": "nope"}}
    with pytest.raises(UsageError, match="nope"):
        needs.of(Recipe.named("x", said), HOST, "/w")


def contained(launcher: str, **host: Any) -> Recipe:
    engine = {"name": "simulator", "container": {"image": "r.io/a:1"}}
    said = recipe(**host).model_dump() | {"engine": engine, "launcher": launcher}
    return Recipe.named("x", said)


@pytest.mark.parametrize("asked", [[], ["b"], ["r.io/a:1", "b"]])
def test_the_image_of_the_engine_is_pulled(asked: list[str]) -> None:
    """With those that the recipe asks for anyway, once."""
    made = needs.of(contained("docker_run", images=asked), HOST, "/w").needs.images
    assert (sorted({*asked, "r.io/a:1"}), len(set(made))) == (sorted(made), len(made))


@pytest.mark.parametrize(
    ("launcher", "asked", "expected"),
    [
        ("compose", "none", "any"),
        ("compose", "standalone", "standalone"),
        ("docker_run", "none", "none"),
    ],
)
def test_compose_is_installed_for_its_launcher(launcher: str, asked: str, expected: str) -> None:
    """Either kind of it, unless the recipe says which."""
    docker = {"source": "distribution", "compose": asked}
    made = needs.of(contained(launcher, docker=docker), HOST, "/w").needs.docker
    assert made is not None
    assert (expected, "distribution") == (made.compose, made.source)


def test_docker_that_is_not_asked_for_is_not_installed() -> None:
    """It is to be there already."""
    assert None is needs.of(contained("compose"), HOST, "/w").needs.docker


def test_an_engine_that_its_launcher_cannot_start_is_told() -> None:
    """Before a host is asked for anything."""
    with pytest.raises(UsageError, match=r"engine\.container"):
        needs.of(contained("process"), HOST, "/w")
