"""Folders and files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.command import Secret
from provisioning.errors import CommandError, HostError
from provisioning.facts.paths import AtPath, Found
from provisioning.host import Host
from provisioning.operations import files
from provisioning.remote import LocalRemote
from tests.provisioning.fakes import FakeHost

SHA = hashlib.sha256(b"text").hexdigest()


def having(found: Found | None) -> FakeHost:
    return FakeHost({AtPath("/w/x"): found})


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(LocalRemote(tmp_path), str(tmp_path))


def test_a_folder_that_is_there_needs_nothing() -> None:
    """Same mode: no command."""
    assert [] == list(files.directory(having(Found("directory", 0o700)), "/w/x", 0o700))


@pytest.mark.parametrize("found", [None, Found("directory", 0o755)], ids=["absent", "other mode"])
def test_a_folder_is_made_with_its_mode(found: Found | None) -> None:
    """Absent or of another mode: one command."""
    assert [files.make("/w/x", 0o700)] == list(files.directory(having(found), "/w/x", 0o700))


def test_a_file_that_is_there_needs_nothing() -> None:
    """Same content and mode: no command."""
    assert [] == list(files.file(having(Found("file", 0o644, SHA)), "/w/x", "text"))


def test_a_file_of_another_mode_is_not_written_again() -> None:
    """Same content: only its mode is set."""
    (command,) = files.file(having(Found("file", 0o644, SHA)), "/w/x", b"text", 0o600)
    assert ("chmod", "600", "/w/x") == command.argv


@pytest.mark.parametrize("found", [None, Found("file", 0o644, "0" * 64)], ids=["absent", "other"])
def test_a_file_is_written_when_it_differs(found: Found | None) -> None:
    """Absent or of other content: written as a whole."""
    expected = [files.write("/w/x", "text", 0o644)]
    assert expected == list(files.file(having(found), "/w/x", "text"))


def test_a_file_of_another_owner_is_given_to_the_right_one() -> None:
    """The mode is set again, for a change of owner drops some bits."""
    host = having(Found("file", 0o644, SHA, "me:me"))
    commands = list(files.file(host, "/w/x", "text", owner="root:root"))
    assert [("chown", "root:root", "/w/x"), ("chmod", "644", "/w/x")] == [c.argv for c in commands]
    assert [] == list(files.file(host, "/w/x", "text", owner="me:me"))


def test_what_root_owns_is_looked_at_and_written_by_root() -> None:
    """Question and commands go through sudo."""
    host = FakeHost({AtPath("/etc/x", sudo=True): Found("file", 0o600, "0" * 64, "root:root")})
    (write,) = files.file(host, "/etc/x", "text", 0o600, sudo=True)
    assert (True, True) == (write.sudo, AtPath("/etc/x", sudo=True).command.sudo)
    (make,) = files.directory(FakeHost({AtPath("/d", sudo=True): None}), "/d", sudo=True)
    assert make.sudo


def test_a_folder_of_another_owner_is_given_to_the_right_one() -> None:
    """Made again with it, in one command."""
    found = having(Found("directory", 0o755, "", "me:me"))
    (command,) = files.directory(found, "/w/x", owner="you:you")
    assert "make folder /w/x (0755, you:you)" == str(command)


def test_something_else_in_the_place_is_not_overwritten() -> None:
    """A folder where a file should be, and the other way round, is for a person to clear."""
    with pytest.raises(HostError, match="should be a file, but a directory is there"):
        list(files.file(having(Found("directory", 0o755)), "/w/x", "text"))
    with pytest.raises(HostError, match="should be a directory, but a file is there"):
        list(files.directory(having(Found("file", 0o644, SHA)), "/w/x"))


def test_the_audit_line_of_a_file_tells_no_secret() -> None:
    """Not even the hash of one, from which a short one could be found."""
    command = files.write("/w/x", Secret("text"), 0o600)
    assert ("write /w/x (0600)", False) == (str(command), SHA[:8] in str(command))


def test_the_hash_of_a_secret_is_in_no_argument(host: Host, tmp_path: Path) -> None:
    """Its size is what is checked."""
    command = files.write(str(tmp_path / "f"), Secret("text é"), 0o600)
    digest = hashlib.sha256("text é".encode()).hexdigest()
    assert ("size:7", False) == (command.argv[6], digest[:12] in command.line())
    host.execute(command, label="test")
    cut = type(command)(*command.argv, stdin="text", shown="write")
    with pytest.raises(CommandError, match="ended with 1"):
        host.execute(cut, label="test")
    assert "text é" == (tmp_path / "f").read_text()


@settings(max_examples=8, deadline=None)  # each is a process
@given(st.binary(max_size=2000))
def test_what_is_written_is_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """Any bytes, through the shell and back, and nothing to do the second time."""
    folder = tmp_path_factory.mktemp("files")
    host, path = Host(LocalRemote(folder), str(folder)), folder / "a 'b'"
    assert host.apply(files.file, str(path), data, 0o640)
    assert not host.apply(files.file, str(path), data, 0o640)
    assert (data, 0o640) == (path.read_bytes(), path.stat().st_mode & 0o777)


def test_folders_above_are_made_too(host: Host, tmp_path: Path) -> None:
    """The mode is the last one's."""
    host.apply(files.directory, str(tmp_path / "a" / "b"), 0o700)
    assert 0o700 == (tmp_path / "a" / "b").stat().st_mode & 0o777


def test_the_owner_is_set_with_the_content(host: Host, tmp_path: Path) -> None:
    """What is ours may be given to ourselves without root."""
    ours = f"{os.getuid()}:{os.getgid()}"
    host.execute(files.make(str(tmp_path / "d"), 0o750, owner=ours), label="test")
    host.execute(files.write(str(tmp_path / "d" / "f"), "x", 0o640, owner=ours), label="test")
    found = (tmp_path / "d" / "f").stat()
    assert (os.getuid(), os.getgid(), 0o640) == (found.st_uid, found.st_gid, found.st_mode & 0o777)


def test_damaged_content_does_not_replace_a_file(host: Host, tmp_path: Path) -> None:
    """What arrived is hashed before the rename; the old file stays, and no rest beside it."""
    (tmp_path / "f").write_text("old")
    whole = files.write(str(tmp_path / "f"), "new", 0o600)
    damaged = type(whole)(*whole.argv, stdin="nex", shown="write")
    with pytest.raises(CommandError, match="ended with 1") as caught:
        host.execute(damaged, label="test")
    assert "damaged on its way" in caught.value.stderr
    assert {"f": "old"} == {
        p.name: p.read_text() for p in tmp_path.iterdir() if p.name != "audit.log"
    }
