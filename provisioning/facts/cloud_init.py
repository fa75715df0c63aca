"""Whether cloud-init is still at work."""

from __future__ import annotations

from provisioning.command import Command, Fact

# Its own books of this boot: it itself would take half a second to read them.
_ASK = """
[ -e /run/cloud-init/status.json ] && [ ! -e /run/cloud-init/result.json ] &&
  command -v cloud-init >/dev/null && echo working
exit 0
"""


class CloudInit(Fact[bool]):
    """Whether cloud-init has begun in this boot and is not over."""

    command = Command.shell(_ASK, shown="see whether cloud-init is at work")

    def parse(self, stdout: str) -> bool:
        """Read ``working`` or nothing."""
        return bool(stdout.strip())
