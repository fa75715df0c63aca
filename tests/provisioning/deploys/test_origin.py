"""From where a thing is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioning.deploys.origin import Origin, require_version
from provisioning.errors import HostError, UsageError
from provisioning.host_schema import Install, Mirror
from provisioning.operations import archives
from provisioning.operations.apt import Archive
from tests.provisioning.gpu_hosts import DEBIAN_12, fresh

MIRROR = Mirror(url="http://m/deb/", trusted=True)


def origin(said: Install, near: Path | None = None) -> Origin:
    return Origin(said, "docker", archives.docker, near)


def test_the_makers_archive_is_that_for_the_distribution() -> None:
    """Asked for beforehand by its name alone, for the host is not known then."""
    of_maker = origin(Install())
    assert archives.docker(DEBIAN_12) == of_maker.archive(fresh())
    assert ["docker"] == [archive.name for archive in of_maker.asked()]


def test_a_mirror_takes_its_place() -> None:
    """Under the same name."""
    mirror = origin(Install(source="mirror", mirror=MIRROR))
    expected = Archive("docker", "http://m/deb", "./", trusted=True)
    assert ((expected,), expected) == (mirror.asked(), mirror.archive(fresh()))


@pytest.mark.parametrize("source", ["distribution", "present"])
def test_the_hosts_own_packages_need_no_archive(source: str) -> None:
    """Nothing is added to its sources."""
    own = origin(Install.model_validate({"source": source}))
    assert ((), None) == (own.asked(), own.archive(fresh()))


def test_a_mirror_that_is_not_named_is_refused() -> None:
    """Before any host is asked."""
    with pytest.raises(UsageError, match="takes docker from a mirror and does not name it"):
        origin(Install(source="mirror"))


@pytest.mark.parametrize(
    ("found", "pinned", "right"),
    [
        ("28.5.2", None, True),
        ("28.5.2", "28.5.2", True),
        ("28.5.2", "5:28.5.2-1~debian.12~bookworm", True),
        ("20.10.24+dfsg1", "20.10.24+dfsg1-1+b3", True),
        ("1.17.8", "1.17.8-1", True),
        ("28.5.1", "5:28.5.2-1~debian.12~bookworm", False),
        ("28.5", "28.5.2", False),
    ],
)
def test_what_is_there_is_of_the_version_that_is_pinned(
    found: str, pinned: str | None, right: bool
) -> None:
    """A package's version names that of the program in it."""
    wanted = Install(version=pinned)
    if right:
        require_version(found, wanted, "Docker", fresh())
        return
    with pytest.raises(HostError, match=f"Docker {found} is on the host, and the recipe asks"):
        require_version(found, wanted, "Docker", fresh())
