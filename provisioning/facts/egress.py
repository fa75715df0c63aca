"""Whether the host reaches an address outside."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact

_TIMEOUT_S = 5
# Python, for it is there, and knows of proxies as the downloader does. Any answer will do.
_PROGRAM = f"""
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(urllib.request.Request(sys.argv[1], method="HEAD"), timeout={_TIMEOUT_S})
except urllib.error.HTTPError:
    pass
except Exception as error:
    sys.exit("no %s" % (getattr(error, "reason", None) or error))
print("yes")
"""
_ASK = """
[ -z "$(find "$2" -name '*.json' -print -quit 2>/dev/null)" ] || exit 0
command -v python3 >/dev/null || exit 0
printf %s "$PROGRAM" | python3 -I -S - "$1" 2>&1 || :
"""


@dataclass(frozen=True)
class Egress(Fact[str]):
    """Why `url` cannot be reached from the host; empty if it can, or need not.

    It need not where the folder `unless` holds receipts (``*.json``): what was to be fetched is
    here, and nobody waits for a network.
    """

    url: str
    unless: str

    @property
    def command(self) -> Command:
        """Ask for its head."""
        env = {"PROGRAM": _PROGRAM}
        shown = f"see whether {self.url} can be reached"
        return Command.shell(_ASK, self.url, self.unless, env=env, shown=shown)

    def parse(self, stdout: str) -> str:
        """Read ``no`` and the reason, ``yes``, or nothing when it was not asked."""
        word, _, reason = stdout.strip().partition(" ")
        return (reason or "no reason told") if word == "no" else ""
