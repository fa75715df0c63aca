"""What cannot be reached is refused where it is needed, and only there."""

from __future__ import annotations

from typing import Any

import pytest

from provisioning import ways_out
from provisioning.errors import HostError
from provisioning.facts.egress import Egress, Way
from provisioning.facts.images import Image
from provisioning.facts.model_cache import Cached
from provisioning.facts.python_env import Environment
from provisioning.host_schema import HostNeeds
from provisioning.needs import Needs
from provisioning.operations import python_env
from provisioning.recipe_schema import Model
from tests.provisioning.fakes import FakeHost

MIRROR = "http://mirror:8080/simple"
PYTHON: dict[str, Any] = {"python": {"packages": ["vllm==0.13.0"], "index_url": MIRROR}}
THERE = Environment("3.11.2", ())
INDEX, HUB, REGISTRY = f"{MIRROR}/", "https://huggingface.co", "tcp://registry-1.docker.io:443"
HAVE = Image("vllm/vllm-openai", "v1", "", "i")


def needs(model: str = "simulated", **asked: Any) -> Needs:
    return Needs(HostNeeds.model_validate(asked), Model(name=model), None, "/w", "/w")


def refused(asked: Needs, *closed: str, **known: Any) -> str | None:
    """What the check says on a host with nothing but what is *known*; None if it is content."""
    facts: dict[str, Any] = {"Images": (), "PythonEnv": None, "ModelCache": Cached(complete=False)}
    host = FakeHost(Egress=dict.fromkeys(closed, "timed out"), **(facts | known))
    try:
        ways_out.check(host, asked)
    except HostError as error:
        advised = error.advice.startswith("Open its way out, ")
        return error.what if advised else f"no advice for: {error.what}"
    return None


def ways(asked: Needs) -> tuple[Way, ...]:
    """What is tried."""
    (egress,) = [fact for fact in ways_out.facts(asked) if isinstance(fact, Egress)]
    return egress.ways


def test_nothing_is_tried_where_nothing_is_fetched() -> None:
    """No fact at all, and no error."""
    assert () == ways_out.facts(needs())
    assert refused(needs(), INDEX, HUB) is None


@pytest.mark.parametrize(
    ("asked", "closed", "known", "what"),
    [
        (needs("o/m"), HUB, {"ModelCache": Cached(complete=True)}, f"{HUB}, where the model o/m"),
        (
            needs("o/m", **PYTHON),
            INDEX,
            {"PythonEnv": THERE},
            f"{INDEX}, where the model's downloader is",
        ),
        (
            needs(**PYTHON),
            INDEX,
            {"PythonEnv": THERE},
            f"{INDEX}, where the packages of the recipe",
        ),
        (
            needs(images=["vllm/vllm-openai:v1"]),
            REGISTRY,
            {"Images": (HAVE,)},
            "registry-1.docker.io:443, where the image vllm/vllm-openai:v1 is (timed out).",
        ),
    ],
    ids=["hub", "downloader", "environment", "registry"],
)
def test_what_is_missing_must_be_within_reach(
    asked: Needs, closed: str, known: dict[str, Any], what: str
) -> None:
    """Named with the reason; what is there already, or another address, does not matter."""
    assert f"fake-host does not reach {what}" in str(refused(asked, closed))
    assert refused(asked, closed, **known) is None
    assert refused(asked, "https://elsewhere") is None


def test_the_mirror_that_a_recipe_names_is_asked() -> None:
    """For the environment and for the downloader, which comes from there, too; no other index."""
    assert {HUB, INDEX} == {way.url for way in ways(needs("o/m", **PYTHON))}
    assert {HUB} == {way.url for way in ways(needs("o/m", python={"packages": ["a==1"]}))}


def test_what_is_there_is_not_asked_for() -> None:
    """Receipts, a whole environment, or the image itself keep the host from trying."""
    asked = needs("o/m", images=["r:5000/x:1"], **PYTHON)
    hub, tool, python, registry = ways(asked)
    receipts = "/w/models/dyno/models--o--m/*.json"
    assert (receipts,) == hub.unless
    assert receipts in tool.unless
    assert (f"{python_env.path(asked)}/dyno-packages.txt",) == python.unless
    assert ("tcp://r:5000", "r:5000/x:1") == (registry.url, registry.image)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("python:3.11", "registry-1.docker.io:443"),
        ("vllm/vllm-openai@sha256:0", "registry-1.docker.io:443"),
        ("docker.io/vllm/vllm-openai", "registry-1.docker.io:443"),
        ("nvcr.io/nvidia/pytorch:25.01-py3", "nvcr.io:443"),
        ("registry.lab:5000/x:1", "registry.lab:5000"),
        ("localhost/x", "localhost:443"),
    ],
)
def test_an_images_registry_stands_in_its_name(image: str, expected: str) -> None:
    """As Docker reads it."""
    assert expected == ways_out.registry(image)


def test_a_plain_registry_may_be_at_two_ports() -> None:
    """Without TLS and without a port it is not asked; with a port it is."""
    docker = {"insecure_registries": ["plain.lab", "r.lab:5000"]}
    asked = needs(docker=docker, images=["plain.lab/x:1", "r.lab:5000/x:1"])
    assert ["tcp://r.lab:5000"] == [way.url for way in ways(asked)]
