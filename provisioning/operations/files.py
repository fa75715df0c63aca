"""Folders and files on a host."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from provisioning.command import Command, Secret
from provisioning.errors import HostError
from provisioning.facts.paths import AtPath, Found
from provisioning.host import Host

_MAKE = 'mkdir -p -- "$1" && chmod "$2" "$1"'

# The hash is checked before the rename: a file under its name is whole.
_WRITE = """
umask 077
new=$(mktemp "$1.XXXXXX") || exit
trap 'rm -f "$new"' EXIT
cat >"$new" && chmod "$2" "$new" || exit
if [ "$(sha256sum <"$new" | cut -c 1-64)" != "$3" ]; then
  echo "content damaged on its way" >&2
  exit 1
fi
mv -f "$new" "$1"
"""


def directory(host: Host, path: str, mode: int = 0o755) -> Iterator[Command]:
    """*path* is a directory with *mode*."""
    found = _expect(host, path, "directory")
    if found is None or found.mode != mode:
        yield make(path, mode)


def file(
    host: Host, path: str, content: str | bytes | Secret, mode: int = 0o644
) -> Iterator[Command]:
    """*path* is a file with exactly *content* and *mode*; its folder exists already."""
    found = _expect(host, path, "file")
    if found is None or found.sha256 != _sha256(content):
        yield write(path, content, mode)
    elif found.mode != mode:
        yield Command("chmod", f"{mode:o}", path)


def make(path: str, mode: int) -> Command:
    """Make a directory, and those above it."""
    return Command.shell(_MAKE, path, f"{mode:o}", shown=f"make folder {path} ({mode:04o})")


def write(path: str, content: str | bytes | Secret, mode: int) -> Command:
    """Write a file in one step: whoever reads it sees the old content or the new one."""
    digest = _sha256(content)
    return Command.shell(
        _WRITE,
        path,
        f"{mode:o}",
        digest,
        stdin=content,
        # Not even the hash of a secret is to stand in a log.
        shown=f"write {path} ({mode:04o}"
        + (")" if isinstance(content, Secret) else f", sha256 {digest[:12]})"),
    )


def _expect(host: Host, path: str, kind: str) -> Found | None:
    found = host.fact(AtPath(path))
    if found is not None and found.kind != kind:
        raise HostError(
            f"{path} should be a {kind}, but a {found.kind} is there.",
            "Move it away, or choose another working folder.",
            host=host.name,
        )
    return found


def _sha256(content: str | bytes | Secret) -> str:
    text = content.reveal() if isinstance(content, Secret) else content
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()
