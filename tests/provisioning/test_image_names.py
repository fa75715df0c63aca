"""Names of images, as written and as Docker shows them."""

from __future__ import annotations

import pytest

from provisioning.facts.images import Image
from provisioning.image_names import ImageName

SHA = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("python", ("python", "latest", "")),
        ("docker.io/library/python:3.11", ("python", "3.11", "")),
        ("index.docker.io/vllm/vllm-openai:v1", ("vllm/vllm-openai", "v1", "")),
        ("r:5000/x", ("r:5000/x", "latest", "")),
        ("r:5000/x:1", ("r:5000/x", "1", "")),
        (f"r:5000/x:1@{SHA}", ("r:5000/x", "", SHA)),
        ("nvcr.io/nvidia/vllm:25.09-py3", ("nvcr.io/nvidia/vllm", "25.09-py3", "")),
    ],
)
def test_names_are_read(written: str, expected: tuple[str, str, str]) -> None:
    """The hub's prefix goes, a port is no tag, a digest is worth more than a tag."""
    name = ImageName.of(written)
    assert expected == (name.repository, name.tag, name.digest)


def test_another_tag_or_digest_is_another_image() -> None:
    """Of the same repository."""
    images = (Image("x", "1", SHA, "i"), Image("y", "2", "", "j"))
    assert images[0] == ImageName.of("x:1").among(images)
    assert images[0] == ImageName.of(f"x@{SHA}").among(images)
    others = ("x:2", "x@sha256:b", "z:1", "y")
    assert [None] * 4 == [ImageName.of(other).among(images) for other in others]
