"""Packages and archives: what is missing, and no more."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from provisioning.command import Fact
from provisioning.facts.apt_key import KEYRINGS, AptKey
from provisioning.facts.apt_sources import AptSources, Source
from provisioning.facts.deb_packages import DebPackages
from provisioning.facts.paths import AtPath, Found
from provisioning.operations import apt
from provisioning.operations.apt import Archive
from tests.provisioning.fakes import FakeHost

HAVE = {"jq": "1.6-2.1+deb12u1", "docker-ce": "5:27.5.1-1~debian.12~bookworm"}
VENDOR = Archive(
    "docker",
    "https://download.example/linux/debian",
    "bookworm",
    ("stable",),
    key_url="https://download.example/gpg",
    fingerprint="AB" * 20,
)
MIRROR = Archive("nv", "http://mirror.example/nv", "./", key="armour")
TRUSTED = Archive("flat", "http://mirror.example/flat", "./", trusted=True)


def host_with(archive: Archive, **said: Any) -> FakeHost:
    """A host that knows the facts of *archive* and no others; nothing is there but what is said."""
    answers: dict[Fact[Any], Any] = {
        fact: {DebPackages: {"ca-certificates": "1"}, AptSources: ()}.get(type(fact))
        for fact in apt.facts(archive)
    }
    found: dict[str, type[Fact[Any]]] = {"packages": DebPackages, "sources": AptSources}
    for name, value in said.items():
        kind = found.get(name)
        for fact in answers:
            if type(fact) is kind or (name == "key" and isinstance(fact, AptKey)):
                answers[fact] = value
    return FakeHost(answers)


@pytest.mark.parametrize(
    "names", [(), ("jq",), ("jq", "docker-ce=5:27*"), ("jq=1.6-2.1+deb12u1",)], ids=str
)
def test_what_is_installed_needs_nothing(names: tuple[str, ...]) -> None:
    """Of any version, of the one that is asked for, or of one that fits the pattern."""
    assert [] == list(apt.packages(FakeHost(DebPackages=HAVE), *names))


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (("tree", "jq", "bc", "tree"), ("bc", "tree")),
        (("docker-ce=5:28*",), ("docker-ce=5:28*",)),
        (("jq=1.6",), ("jq=1.6",)),
    ],
)
def test_what_is_missing_is_installed_at_once(
    names: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    """One command of root for all, each once; another version is missing, too."""
    (command,) = apt.packages(FakeHost(DebPackages=HAVE), *names)
    assert (True, f"install {', '.join(missing)}") == (command.sudo, str(command))
    assert missing == command.argv[4:]


def test_what_may_come_along_is_named_apart() -> None:
    """It need not be in any archive; alone it is reason enough; what is there is not named."""
    host = FakeHost(DebPackages=HAVE)
    (command,) = apt.packages(host, "tree", also=("jq", "headers"))
    assert ("install headers, tree", ("tree",)) == (str(command), command.argv[4:])
    assert (("DYNO_APT_ALSO", "headers"),) == command.env
    (command,) = apt.packages(host, "jq", also=("headers",))
    assert ("install headers", ()) == (str(command), command.argv[4:])
    assert [] == list(apt.packages(host, "jq", also=("jq",)))


def test_nothing_is_removed_unless_that_is_said() -> None:
    """What is in the way is somebody's."""
    host = FakeHost(DebPackages=HAVE)
    (kept,), (removed,) = apt.packages(host, "x"), apt.packages(host, "x", removing=True)
    assert ((), (("DYNO_APT_REMOVE", "true"),)) == (kept.env, removed.env)


def test_an_archive_that_is_trusted_needs_no_key() -> None:
    """One file."""
    (write,) = apt.archive(host_with(TRUSTED), TRUSTED)
    expected = "Types: deb\nURIs: http://mirror.example/flat\nSuites: ./\nTrusted: yes\n"
    assert expected.encode() == write.stdin
    assert "/etc/apt/sources.list.d/llm-dyno-flat.sources" in str(write)


def test_a_key_beside_the_recipe_is_brought() -> None:
    """Its folder, itself, and the file that refers to it, in this order."""
    commands = list(apt.archive(host_with(MIRROR), MIRROR))
    paths = [KEYRINGS, AptKey("nv").path, MIRROR.source]
    assert [True] * 3 == [path in str(c) for path, c in zip(paths, commands, strict=True)]
    assert [True] * 3 == [command.sudo for command in commands]
    assert b"armour" == commands[1].stdin
    assert b"Signed-By: /etc/apt/keyrings/llm-dyno-nv.asc" in commands[2].payload()


def test_a_makers_key_is_fetched_and_held_to_its_fingerprint() -> None:
    """By a program that reads the key on the host, before it is put into place."""
    _, fetch, write = apt.archive(host_with(VENDOR), VENDOR)
    assert fetch.argv[4:] == (VENDOR.key_url, "AB" * 20, AptKey("docker").path)
    assert b"def fingerprints" in fetch.payload()
    assert b"Components: stable\n" in write.payload()


def test_a_key_that_was_verified_is_not_fetched_again() -> None:
    """The host remembers with which fingerprint; another one is fetched."""
    known = list(apt.archive(host_with(VENDOR, key="AB" * 20), VENDOR))
    other = list(apt.archive(host_with(VENDOR, key="CD" * 20), VENDOR))
    assert (2, 3) == (len(known), len(other))


def test_an_archive_that_is_as_it_should_be_needs_nothing() -> None:
    """Key, folder and file are there."""
    from provisioning.operations.files import _sha256

    ours = Source(VENDOR.source, VENDOR.url, VENDOR.suite)
    host = host_with(VENDOR, key=VENDOR.fingerprint, sources=(ours,))
    sha = _sha256(VENDOR.stanza())
    host._answers[AtPath(VENDOR.source, sudo=True)] = Found("file", 0o644, sha, "root:root")
    host._answers[AtPath(KEYRINGS, sudo=True)] = Found("directory", 0o755, "", "root:root")
    assert [] == list(apt.archive(host, VENDOR))


def test_certificates_come_before_an_archive_that_needs_them() -> None:
    """A minimal system cannot speak https."""
    first, *_ = apt.archive(host_with(VENDOR, packages={}), VENDOR)
    assert "install ca-certificates" == str(first)
    (write,) = apt.archive(host_with(TRUSTED, packages={}), TRUSTED)
    assert "install" not in str(write)


def test_somebody_elses_file_for_the_same_archive_is_kept() -> None:
    """Two files with two keys would keep apt from doing anything: ours is not written, or goes."""
    theirs = Source("/etc/apt/sources.list.d/docker.list", VENDOR.url, VENDOR.suite)
    host = host_with(VENDOR, sources=(theirs,))
    assert [] == list(apt.archive(host, VENDOR))
    host._answers[AtPath(VENDOR.source, sudo=True)] = Found("file", 0o644)
    (command,) = apt.archive(host, VENDOR)
    assert ("rm", "-f", VENDOR.source) == command.argv


def test_another_suite_of_the_same_archive_is_another_one() -> None:
    """It does not have our packages."""
    other = Source("/etc/apt/sources.list.d/docker.list", VENDOR.url, "bullseye")
    assert [] != list(apt.archive(host_with(VENDOR, sources=(other,)), VENDOR))


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("E: Unable to locate package nope", "no package nope"),
        ("E: Package 'vllm' has no installation candidate", "no package vllm"),
        ("E: Version '9.9' for 'jq' was not found", "no version 9.9 of jq"),
        ("kept busy by unattended-upgr (process 12)", "kept busy by unattended-upgr"),
        ("  Could not resolve 'deb.example.org'", "archive deb.example.org cannot be reached"),
        ("Could not connect to 10.77.0.1:5080 (10.77.0.1).", "archive 10.77.0.1 cannot be"),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", "no space left"),
        ("cp: error writing: No space left on device", "no space left"),
        ("the key is 12AB, expected is 34CD", "not the one that is pinned (it is 12AB)"),
        ("E: The repository 'http://m.example ./ Release' is not signed.", "http://m.example is"),
        ("W: GPG error: http://m.example ./ InRelease: NO_PUBKEY 1", "http://m.example is"),
    ],
)
def test_what_apt_says_is_told_in_a_sentence(said: str, what: str) -> None:
    """What happened, and what to do about it."""
    explained = apt.explained(f"Reading package lists...\n{said}\nand more")
    assert explained is not None
    assert what in explained[0]
    assert explained[1].endswith(".")


def test_what_is_not_known_is_not_explained() -> None:
    """It stays a failed command, with its log."""
    assert apt.explained("E: Sub-process /usr/bin/dpkg returned an error code (1)") is None


@pytest.mark.parametrize("name", ["apt_install.sh", "apt_key.sh"])
def test_scripts_are_for_a_plain_shell(name: str) -> None:
    """`sh -n` reads them to their end."""
    script = Path(apt.__file__).parent / name
    done = subprocess.run(["sh", "-n", script], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
