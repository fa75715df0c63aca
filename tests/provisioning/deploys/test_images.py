"""The step `images`."""

from __future__ import annotations

import pytest

from provisioning.deploys import images
from provisioning.errors import HostError
from provisioning.facts.images import Image
from tests.provisioning.gpu_hosts import fresh, lines, needs, served

ASKED = needs(images=["x:1", "y:2"])


def test_no_images_are_no_step() -> None:
    """Nothing is asked."""
    assert () == images.steps(needs(docker={}))


def test_images_are_pulled_once_docker_is_there() -> None:
    """Those that are missing, in one go."""
    (step,) = images.steps(ASKED)
    assert {"disks", "docker", "toolkit"} <= set(step.after)
    host = served(Images=(Image("x", "1", "sha256:d", "sha256:i"),))
    assert [["pull y:2"]] == [lines(operation(host)) for operation in step.operations]
    assert {"x:1": "sha256:d"} == images.about(host, ASKED)
    assert {} == images.about(host, needs())


def test_images_without_docker_are_refused() -> None:
    """Unless it is asked for too, or there."""
    (step,) = images.steps(ASKED)
    assert step.check is not None
    step.check(served())
    with pytest.raises(HostError, match="pulls images, and there is no Docker"):
        step.check(fresh())
    (both,) = images.steps(needs(images=["x:1"], docker={}))
    assert both.check is not None
    both.check(fresh())
