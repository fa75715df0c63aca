"""Debian packages, and the archives they come from."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioning import openpgp
from provisioning.command import Command, Fact
from provisioning.facts.apt_key import KEYRINGS, AptKey
from provisioning.facts.apt_sources import AptSources
from provisioning.facts.deb_packages import DebPackages
from provisioning.facts.half_installed import HalfInstalled
from provisioning.facts.paths import AtPath
from provisioning.host import Host
from provisioning.operations import files

_FOLDER = Path(__file__).parent
_INSTALL = (_FOLDER / "apt_install.sh").read_text(encoding="utf-8")
_KEY = (_FOLDER / "apt_key.sh").read_text(encoding="utf-8")
_SOURCES = "/etc/apt/sources.list.d"
_CERTIFICATES = "ca-certificates"


@dataclass(frozen=True)
class Archive:
    """An archive of packages. `name` names our files; `suite` ends with ``/`` for a flat one.

    Its key is fetched from `key_url` and must have the `fingerprint`; or its text is `key`; or
    it is the `trusted` that need none.
    """

    name: str
    url: str
    suite: str
    components: tuple[str, ...] = ()
    key_url: str = ""
    fingerprint: str = ""
    key: str = ""
    trusted: bool = False

    @property
    def source(self) -> str:
        """The path of the file that tells apt of it."""
        return f"{_SOURCES}/llm-dyno-{self.name}.sources"

    def stanza(self) -> str:
        """What that file says."""
        lines = ["Types: deb", f"URIs: {self.url}", f"Suites: {self.suite}"]
        if self.components:
            lines.append(f"Components: {' '.join(self.components)}")
        lines.append("Trusted: yes" if self.trusted else f"Signed-By: {AptKey(self.name).path}")
        return "\n".join(lines) + "\n"


def packages(
    host: Host, *names: str, also: tuple[str, ...] = (), removing: bool = False
) -> Iterator[Command]:
    """Every package in *names* is installed: ``jq``, or ``jq=1.7*`` for a version (a pattern).

    Those of *also* are, too, where the archives have them. What is in the way is somebody's: it
    is removed only when *removing*.
    """
    there = host.fact(DebPackages)
    missing, further = (
        sorted(name for name in set(some) if not _there(name, there)) for some in (names, also)
    )
    if missing or further:
        shown = f"install {', '.join((*further, *missing))}"
        yield install(*missing, also=further, removing=removing, shown=shown)


def install(*names: str, shown: str, also: Iterable[str] = (), removing: bool = False) -> Command:
    """Install the newest of *names*, or what versions say, whether they are there or not."""
    env = {"DYNO_APT_ALSO": " ".join(also), "DYNO_APT_REMOVE": "true" if removing else ""}
    given = {name: value for name, value in env.items() if value}
    return Command.shell(_INSTALL, *names, sudo=True, env=given, shown=shown, explain=explained)


def repaired(host: Host) -> Iterator[Command]:
    """No installation is left half done: programs may be there, and what they need not."""
    half = host.fact(HalfInstalled)
    if half:
        shown = f"repair the installation of {', '.join(half)}"
        yield Command.shell(_INSTALL, sudo=True, shown=shown, explain=explained)


def archive(host: Host, wanted: Archive) -> Iterator[Command]:
    """Apt knows the archive *wanted*, by a file of ours or of somebody else."""
    same = [s for s in host.fact(AptSources) if (s.url, s.suite) == (_plain(wanted), wanted.suite)]
    if any(source.file != wanted.source for source in same):
        # Two files that name one archive with different keys keep apt from doing anything.
        if host.fact(AtPath(wanted.source, sudo=True)) is not None:
            yield Command("rm", "-f", wanted.source, sudo=True)
        return
    if wanted.url.startswith("https:"):
        yield from packages(host, _CERTIFICATES)
    if not wanted.trusted:
        yield from _key(host, wanted)
    yield from files.file(host, wanted.source, wanted.stanza(), sudo=True)


def facts(*archives: Archive) -> tuple[Fact[Any], ...]:
    """What `packages`, and `archive` for *archives*, ask; gather it with other facts."""
    found: list[Fact[Any]] = [DebPackages(), HalfInstalled()]
    for wanted in archives:
        key = AptKey(wanted.name)
        found += [AptSources(), AtPath(wanted.source, sudo=True), AtPath(KEYRINGS, sudo=True)]
        found.append(AtPath(key.path, sudo=True) if wanted.key else key)
    return tuple(dict.fromkeys(found))


def explained(said: str) -> tuple[str, str] | None:
    """What kept apt from doing its work, and what to do, by what it printed."""
    for pattern, what, advice in _TROUBLE:
        if found := re.search(pattern, said, re.MULTILINE):
            return what.format(*(" ".join(part.split()) for part in found.groups())), advice
    return None


_TROUBLE = (
    (
        r"^kept busy by (.+)$",
        "The host's package manager is kept busy by {0}.",
        "Wait until that is over, or end it; then try again.",
    ),
    (
        r"REMOV(?:ED|ING):\n((?: .*\n)+)(?:.*\n)*?.*remove is disabled",
        "Packages that are in the way would be removed from the host: {0}.",
        "Remove them there if nobody needs them, or name another package or source in the recipe.",
    ),
    (
        r"No space left on device|You don't have enough free space",
        "The host has no space left for packages.",
        "Make room there (`apt-get clean`, for one), or take a larger disk.",
    ),
    (
        r"the key is (.*), expected is (\w+)",
        "The key of a package archive is not the one that is pinned (it is {0}).",
        "Nothing was installed from there. Use a mirror with a key of your own if that is right.",
    ),
    (
        r"(?:Could not (?:resolve|connect to)|Cannot initiate the connection to) '?([\w.-]+)",
        "The package archive {0} cannot be reached from the host.",
        "Open the way to it, or name a mirror in the recipe (source: mirror).",
    ),
    (
        r"^E: (?:Unable to locate package|Package '?)\s*([\w.+-]+)",
        "The host's package archives have no package {0}.",
        "Correct its name in the recipe, or name another source for it.",
    ),
    (
        r"^E: Version '(.+)' for '(.+)' was not found",
        "The host's package archives have no version {0} of {1}.",
        "Ask for another in the recipe; `apt-cache policy` on the host lists those there are.",
    ),
    (
        r"(?:^E: The repository '|GPG error: )(\S+)",
        "The package archive {0} is not signed by the key that belongs to it.",
        "Correct its address or key; a mirror without signatures needs `trusted: true`.",
    ),
)


def _key(host: Host, wanted: Archive) -> Iterator[Command]:
    key = AptKey(wanted.name)
    yield from files.directory(host, KEYRINGS, sudo=True)
    if wanted.key:
        yield from files.file(host, key.path, wanted.key, sudo=True)
    elif host.fact(key) != wanted.fingerprint:
        yield Command.shell(
            _KEY,
            wanted.key_url,
            wanted.fingerprint,
            key.path,
            sudo=True,
            stdin=Path(openpgp.__file__).read_bytes(),
            shown=f"fetch the key {wanted.fingerprint} from {wanted.key_url}",
            explain=explained,
        )


def _there(name: str, installed: dict[str, str]) -> bool:
    plain, _, version = name.partition("=")
    return plain in installed and fnmatch.fnmatchcase(installed[plain], version or "*")


def _plain(wanted: Archive) -> str:
    return wanted.url.rstrip("/")
