"""An image by a name that always means the same."""

from __future__ import annotations

from provisioning.errors import HostError
from provisioning.facts.images import Images
from provisioning.host import Host
from provisioning.image_names import ImageName


def pinned(host: Host, name: str) -> str:
    """The image *name* that lies on the host: ``repository@sha256:…``.

    Its own id for one that came from no registry.

    Raises:
        HostError: there is none.
    """
    there = host.fact(Images)
    image = ImageName.of(name).among(there)
    if image is None:
        raise HostError(
            f"The image {name} is not on the host.", "`fab provision` pulls it.", host=host.name
        )
    return f"{image.name}@{image.digest}" if image.digest else image.id
