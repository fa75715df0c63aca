"""From where a thing is installed: its maker's archive, a mirror, or none beside the host's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from provisioning.errors import HostError, UsageError
from provisioning.facts.system import Machine, System
from provisioning.host import Host
from provisioning.host_schema import Install, Mirror
from provisioning.operations import archives
from provisioning.operations.apt import Archive


class From(Protocol):
    """What a recipe says of a source."""

    @property
    def source(self) -> str:
        """A `host_schema.Source`."""
        ...

    @property
    def mirror(self) -> Mirror | None:
        """The archive, for source ``mirror``."""
        ...


class Origin:
    """The archive that a recipe means; *vendor* makes the maker's own, for a machine."""

    def __init__(
        self,
        said: From,
        name: str,
        vendor: Callable[[Machine], Archive],
        near: Path | None,
    ) -> None:
        self._vendor = vendor if said.source == "vendor" else None
        self._mirror = None
        self.name = name
        if said.source == "mirror":
            self._mirror = archives.mirror(name, _named(said.mirror, name), near)

    def archive(self, host: Host) -> Archive | None:
        """The archive; None where nothing but the host's own is asked.

        Raises:
            HostError: its maker has none for this distribution.
        """
        return self._vendor(host.fact(System)) if self._vendor else self._mirror

    def asked(self) -> tuple[Archive, ...]:
        """An archive of its name, for the facts to ask beforehand."""
        if self._mirror:
            return (self._mirror,)
        return (Archive(self.name, "https:", ""),) if self._vendor else ()


def require_version(found: str, wanted: Install, what: str, host: Host) -> None:
    """See that what is there already is what the recipe pins.

    Raises:
        HostError: it is another version.
    """
    if wanted.version and not _same(found, wanted.version):
        raise HostError(
            f"{what} {found} is on the host, and the recipe asks for {wanted.version}.",
            "Remove it there, or take the version out of the recipe.",
            host=host.name,
        )


def _same(found: str, pinned: str) -> bool:
    """Whether a version is the one that a package's version (``5:28.0.1-1~debian``) names."""
    upstream = pinned.partition(":")[2] or pinned
    return upstream == found or upstream.rpartition("-")[0] == found or pinned == found


def _named(mirror: Mirror | None, name: str) -> Mirror:
    if mirror is None:
        raise UsageError(
            f"The recipe takes {name} from a mirror and does not name it.",
            "Set `mirror.url` beside `source: mirror`.",
        )
    return mirror
