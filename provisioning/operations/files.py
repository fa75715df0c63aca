"""Folders and files on a host."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from provisioning.command import Command, Secret
from provisioning.errors import HostError
from provisioning.facts.paths import AtPath, Found
from provisioning.host import Host

_MAKE = 'mkdir -p -- "$1" && chmod "$2" "$1" && { [ -z "$3" ] || chown "$3" "$1"; }'

# The hash ($3; of a secret its size) is checked before the rename: a file under its name is whole.
_WRITE = """
umask 077
new=$(mktemp "$1.XXXXXX") || exit
trap 'rm -f "$new"' EXIT
cat >"$new" && chmod "$2" "$new" || exit
[ -z "$4" ] || chown "$4" "$new" || exit
case $3 in
  size:*) got=size:$(wc -c <"$new") ;;
  *) got=$(sha256sum <"$new" | cut -c 1-64) ;;
esac
if [ "$got" != "$3" ]; then
  echo "content damaged on its way" >&2
  exit 1
fi
mv -f "$new" "$1"
"""


def directory(
    host: Host, path: str, mode: int = 0o755, *, sudo: bool = False, owner: str | None = None
) -> Iterator[Command]:
    """*path* is a directory with *mode*, and of *owner* (``user:group``) if one is given.

    With *sudo* it is looked at and made by root. The fact it asks is ``AtPath(path, sudo)``.
    """
    found = _expect(host, path, "directory", sudo=sudo)
    if found is None or found.mode != mode or _other(found, owner):
        yield make(path, mode, sudo=sudo, owner=owner)


def file(
    host: Host,
    path: str,
    content: str | bytes | Secret,
    mode: int = 0o644,
    *,
    sudo: bool = False,
    owner: str | None = None,
) -> Iterator[Command]:
    """*path* is a file with exactly *content* and *mode*; its folder exists already.

    *sudo*, *owner*: as with `directory`.
    """
    found = _expect(host, path, "file", sudo=sudo)
    if found is None or found.sha256 != _sha256(content):
        yield write(path, content, mode, sudo=sudo, owner=owner)
        return
    if _other(found, owner):
        yield Command("chown", str(owner), path, sudo=sudo)
    if found.mode != mode or _other(found, owner):  # a change of owner drops some bits
        yield Command("chmod", f"{mode:o}", path, sudo=sudo)


def make(path: str, mode: int, *, sudo: bool = False, owner: str | None = None) -> Command:
    """Make a directory, and those above it."""
    shown = f"make folder {path} ({_about(mode, owner)})"
    return Command.shell(_MAKE, path, f"{mode:o}", owner or "", sudo=sudo, shown=shown)


def write(
    path: str,
    content: str | bytes | Secret,
    mode: int,
    *,
    sudo: bool = False,
    owner: str | None = None,
) -> Command:
    """Write a file in one step: whoever reads it sees the old content or the new one."""
    if isinstance(content, Secret):
        # Not even its hash is to stand in a log or an argument list: a short one could be guessed.
        digest, hashed = f"size:{len(content.reveal().encode())}", ""
    else:
        digest = _sha256(content)
        hashed = f", sha256 {digest[:12]}"
    return Command.shell(
        _WRITE,
        path,
        f"{mode:o}",
        digest,
        owner or "",
        sudo=sudo,
        stdin=content,
        shown=f"write {path} ({_about(mode, owner)}{hashed})",
    )


def _expect(host: Host, path: str, kind: str, *, sudo: bool) -> Found | None:
    found = host.fact(AtPath(path, sudo))
    if found is not None and found.kind != kind:
        raise HostError(
            f"{path} should be a {kind}, but a {found.kind} is there.",
            "Move it away, or choose another working folder.",
            host=host.name,
        )
    return found


def _other(found: Found, owner: str | None) -> bool:
    return owner is not None and found.owner != owner


def _about(mode: int, owner: str | None) -> str:
    return f"{mode:04o}, {owner}" if owner else f"{mode:04o}"


def _sha256(content: str | bytes | Secret) -> str:
    text = content.reveal() if isinstance(content, Secret) else content
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()
