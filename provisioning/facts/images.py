"""Which container images lie on the host."""

from __future__ import annotations

import json
from dataclasses import dataclass

from provisioning.command import Command, Fact

_ASK = """
command -v docker >/dev/null || exit 127
ask() { "$@" docker image ls --all --digests --no-trunc --format '{{json .}}' 2>/dev/null; }
ask || { [ "$(id -u)" != 0 ] && ask sudo -n; } || exit 127
"""
_NONE = "<none>"


@dataclass(frozen=True)
class Image:
    """An image by one of its names, as Docker shortens them; `digest` is its registry's."""

    name: str
    tag: str
    digest: str
    id: str


class Images(Fact[tuple[Image, ...]]):
    """The images on the host; none when Docker is not there or does not answer."""

    command = Command.shell(_ASK, shown="docker image ls")
    when_missing = ()

    def parse(self, stdout: str) -> tuple[Image, ...]:
        """Read one JSON object a line; what an image has not stands as ``<none>``."""
        return tuple(_image(line) for line in stdout.splitlines() if line.startswith("{"))


def _image(line: str) -> Image:
    said = json.loads(line)
    name, tag, digest = (
        "" if said[key] == _NONE else str(said[key]) for key in ("Repository", "Tag", "Digest")
    )
    return Image(name, tag, digest, said["ID"])
