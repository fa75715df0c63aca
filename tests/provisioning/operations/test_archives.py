"""Where packages for GPU hosts come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from provisioning.errors import HostError, UsageError
from provisioning.facts.system import Machine
from provisioning.host_schema import Mirror
from provisioning.operations import archives

DEBIAN = Machine("h", "6.1", "x86_64", "Debian 12", "cpu", 2, 1024, "b", "debian", "12", "bookworm")
UBUNTU = replace(
    DEBIAN, distribution="ubuntu", release="24.04", codename="noble", machine="aarch64"
)


def test_docker_has_an_archive_for_each_distribution() -> None:
    """With its suite, and a key that is pinned."""
    debian, ubuntu = archives.docker(DEBIAN), archives.docker(UBUNTU)
    assert "https://download.docker.com/linux/debian bookworm" == f"{debian.url} {debian.suite}"
    assert "https://download.docker.com/linux/ubuntu noble" == f"{ubuntu.url} {ubuntu.suite}"
    assert ("https://download.docker.com/linux/debian/gpg", 40) == (
        debian.key_url,
        len(debian.fingerprint),
    )


def test_the_toolkit_has_one_archive_for_all() -> None:
    """Flat, one folder an architecture, which apt fills in."""
    toolkit = archives.toolkit()
    assert ("/", True) == (toolkit.suite, toolkit.url.endswith("/stable/deb/$(ARCH)"))
    assert 40 == len(toolkit.fingerprint)


def test_drivers_have_an_archive_for_each_release_and_architecture() -> None:
    """As NVIDIA names them."""
    assert archives.cuda(DEBIAN).url.endswith("/repos/debian12/x86_64")
    assert archives.cuda(UBUNTU).url.endswith("/repos/ubuntu2404/sbsa")


def test_another_distribution_has_no_archive() -> None:
    """It is named, and what to do is said."""
    fedora = replace(DEBIAN, distribution="fedora", os="Fedora Linux 41")
    for make in (archives.docker, archives.cuda):
        with pytest.raises(HostError, match="no package archive for Fedora Linux 41"):
            make(fedora)


def test_a_mirror_takes_its_key_from_beside_the_recipe(tmp_path: Path) -> None:
    """Its text, and what else the recipe says."""
    (tmp_path / "m.asc").write_text("armour")
    said = Mirror(url="http://m.example/d", suite="noble", components=["stable"], key="m.asc")
    archive = archives.mirror("docker", said, tmp_path)
    assert ("armour", "noble", ("stable",), "docker") == (
        archive.key,
        archive.suite,
        archive.components,
        archive.name,
    )


def test_a_mirror_that_is_trusted_needs_no_key() -> None:
    """A flat folder of packages."""
    archive = archives.mirror("nv", Mirror(url="http://m.example", trusted=True), None)
    assert (True, "", "./") == (archive.trusted, archive.key, archive.suite)


def test_a_mirror_with_neither_is_refused() -> None:
    """It would be no archive that apt takes packages from."""
    with pytest.raises(UsageError, match="has no key"):
        archives.mirror("nv", Mirror(url="http://m.example"), None)


@pytest.mark.parametrize("content", [None, b"\x99\x01"], ids=["absent", "binary"])
def test_a_key_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    """Not there, or not ASCII armour."""
    if content is not None:
        (tmp_path / "k.gpg").write_bytes(content)
    with pytest.raises(UsageError, match=r"k\.gpg cannot be read"):
        archives.mirror("nv", Mirror(url="http://m.example", key="k.gpg"), tmp_path)
