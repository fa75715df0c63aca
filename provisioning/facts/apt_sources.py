"""Which package archives the host's apt knows, ours and others."""

from __future__ import annotations

import re
from dataclasses import dataclass

from provisioning.command import Command, Fact

_ASK = """
cd /etc/apt || exit 0
for file in sources.list sources.list.d/*.list sources.list.d/*.sources; do
  [ ! -f "$file" ] || { echo "==> /etc/apt/$file"; cat "$file"; echo; }
done
"""
_OFF = frozenset({"no", "false", "without", "off", "disable", "0"})  # as apt reads it
_ONE_LINE = re.compile(r"^deb\s+(?:\[[^]]*\]\s*)?(?P<url>\S+)\s+(?P<suite>\S+)")


@dataclass(frozen=True)
class Source:
    """One suite of an archive for binary packages, and the file that names it."""

    file: str
    url: str
    suite: str


class AptSources(Fact[tuple[Source, ...]]):
    """All enabled sources, in apt's order; `url` without a slash at its end."""

    command = Command.shell(_ASK, shown="list apt's sources")

    def parse(self, stdout: str) -> tuple[Source, ...]:
        """Read files of both formats, each below a line with its name."""
        found: list[Source] = []
        for part in re.split(r"^==> ", stdout, flags=re.MULTILINE)[1:]:
            file, _, text = part.partition("\n")
            read = _stanzas if file.endswith(".sources") else _lines
            found += [Source(file, url.rstrip("/"), suite) for url, suite in read(text)]
        return tuple(found)


def _lines(text: str) -> list[tuple[str, str]]:
    found = (_ONE_LINE.match(line.strip()) for line in text.splitlines())
    return [(match["url"], match["suite"]) for match in found if match]


def _stanzas(text: str) -> list[tuple[str, str]]:
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return [pair for stanza in re.split(r"\n\s*\n", plain) for pair in _pairs(stanza)]


def _pairs(stanza: str) -> list[tuple[str, str]]:
    folded = re.sub(r"\n[ \t]+", " ", stanza.strip("\n"))
    said = {
        key.strip().lower(): value.split()
        for key, _, value in (line.partition(":") for line in folded.splitlines())
    }
    off = _OFF.intersection(word.lower() for word in said.get("enabled", []))
    if off or "deb" not in said.get("types", []):
        return []
    return [(url, suite) for url in said.get("uris", []) for suite in said.get("suites", [])]
