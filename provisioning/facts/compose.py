"""Which kinds of Docker Compose the host has."""

from __future__ import annotations

import json
from dataclasses import dataclass

from provisioning.command import Command, Fact

# The plug-in's own word is asked for, not `docker compose`, which would start Docker's command
# and every plug-in. The older command is Python and slow: its package knows its version.
_ASK = """
for d in "$HOME/.docker" /usr/local/lib/docker /usr/local/libexec/docker \
    /usr/lib/docker /usr/libexec/docker; do
  p=$d/cli-plugins/docker-compose
  [ -x "$p" ] || continue
  printf 'plugin=%s\\n' "$("$p" docker-cli-plugin-metadata 2>/dev/null | tr -d '\\n')"
  break
done
p=$(command -v docker-compose) || exit 0
if [ "$(head -c 2 "$p")" = '#!' ]; then
  v=$(dpkg-query -W -f '${Version}' docker-compose 2>/dev/null)
else
  v=$("$p" version --short 2>/dev/null)
fi
printf 'standalone=%s\\n' "$v"
"""
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Kinds:
    """Versions of ``docker compose`` and of ``docker-compose``; None where it is not there."""

    plugin: str | None = None
    standalone: str | None = None


class Compose(Fact[Kinds]):
    """The plug-in of Docker's command, and the older command of its own."""

    command = Command.shell(_ASK, shown="find docker compose")

    def parse(self, stdout: str) -> Kinds:
        """Read ``plugin=`` and what it says of itself, ``standalone=`` and a version."""
        said = dict(line.split("=", 1) for line in stdout.splitlines())
        plugin = _version(said["plugin"]) if "plugin" in said else None
        standalone = said["standalone"] or UNKNOWN if "standalone" in said else None
        return Kinds(plugin, standalone)


def _version(metadata: str) -> str:
    try:
        return str(json.loads(metadata)["Version"]).removeprefix("v") or UNKNOWN
    except (ValueError, KeyError, TypeError):
        return UNKNOWN
