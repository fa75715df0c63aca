"""Names of container images, as a person writes them and as Docker shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from provisioning.facts.images import Image

_HUB = ("docker.io/", "index.docker.io/")


@dataclass(frozen=True)
class ImageName:
    """`repository` as Docker shortens it; with a `digest` the tag does not count."""

    repository: str
    tag: str
    digest: str

    @classmethod
    def of(cls, written: str) -> ImageName:
        """Read ``docker.io/library/python:3.11`` as ``python`` and ``3.11``."""
        name, _, digest = written.partition("@")
        head, colon, tag = name.rpartition(":")
        if not colon or "/" in tag:  # the colon of a registry's port
            head, tag = name, "latest"
        for prefix in _HUB:
            if head.startswith(prefix):
                head = head.removeprefix(prefix).removeprefix("library/")
        return cls(head, "" if digest else tag, digest)

    def among(self, images: Iterable[Image]) -> Image | None:
        """The image of this name in *images*."""
        for image in images:
            if image.name != self.repository:
                continue
            if image.digest == self.digest if self.digest else image.tag == self.tag:
                return image
        return None
