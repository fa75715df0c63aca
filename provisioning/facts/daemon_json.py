"""The settings of Docker's server, as they stand in its file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from provisioning.command import Command, Fact

PATH = "/etc/docker/daemon.json"
# Its folder may be root's alone; `sudo` only then.
_ASK = """
read='[ ! -e "$1" ] || { stat -L -c "there %a %u:%g" "$1"; cat "$1"; }'
if [ -r "$1" ]; then sh -c "$read" sh "$1"
elif [ -e "$1" ] || { [ -d "${1%/*}" ] && [ ! -x "${1%/*}" ]; }; then
  sudo -n sh -c "$read" sh "$1"
fi
"""


@dataclass(frozen=True)
class Settings:
    """`values` of the file, none when it is absent or empty; `trouble` when it is not JSON.

    `owner` is the numbers of user and group, for `chown`; empty without a file.
    """

    there: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    trouble: str = ""
    mode: int = 0o644
    owner: str = ""


class DaemonJson(Fact[Settings]):
    """What ``/etc/docker/daemon.json`` says."""

    command = Command.shell(_ASK, PATH, shown=f"read {PATH}")

    def parse(self, stdout: str) -> Settings:
        """Read ``there 644 0:0`` and then the file; nothing at all when there is none."""
        first, _, text = stdout.partition("\n")
        there, *rights = first.split()[:3] or [""]
        if there != "there":
            return Settings()
        values, trouble = _read(text)
        return Settings(True, values, trouble, int(rights[0], 8), rights[1])


def _read(text: str) -> tuple[dict[str, Any], str]:
    try:
        values = json.loads(text) if text.strip() else {}
    except ValueError as error:
        return {}, str(error)
    if not isinstance(values, dict):
        return {}, f"it holds a {type(values).__name__}, no object"
    return values, ""
