"""How far the host's clock can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

from provisioning.command import Command, Fact

# timedatectl would start a service for each question.
_ASK = """
echo "container=$(systemd-detect-virt --container 2>/dev/null)"
if [ -e /run/systemd/timesync/synchronized ] || chronyc -n tracking 2>/dev/null |
  grep -q '^Leap status *: *Normal' || ntpq -c rv 2>/dev/null | grep -q leap_none
then echo synchronised=yes; fi
"""


@dataclass(frozen=True)
class State:
    """`synchronised`: a time service says so. `container`: its kind, for such have no own clock."""

    synchronised: bool
    container: str = ""


class Clock(Fact[State]):
    """Whether the clock is right, by what systemd-timesyncd, chrony or ntpd say."""

    command = Command.shell(_ASK, shown="look at the clock")

    def parse(self, stdout: str) -> State:
        """Read lines of ``key=value``; systemd says ``none`` where there is no container."""
        said = dict(line.split("=", 1) for line in stdout.splitlines())
        container = said.get("container", "")
        return State("synchronised" in said, "" if container == "none" else container)
