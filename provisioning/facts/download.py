"""How a detached download is going."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from provisioning.command import Command, Fact

# The lock first: a download that ends while we look has left its result by then.
_ASK = """
cd "$1" 2>/dev/null && [ -e lock ] || { echo none; exit 0; }
if flock -sn lock true; then echo over; else echo running; fi
cat status.json 2>/dev/null; echo
cat result.json 2>/dev/null; echo
[ -e result.json ] || tail -n 20 log 2>/dev/null
:
"""


@dataclass(frozen=True)
class Going:
    """`state`: ``none`` was ever begun, ``running`` or ``over``; bytes `done` of `total`.

    `result` is what it came to; empty while it runs, and for one that was killed. `log`: the last
    lines of one without a result.
    """

    state: str
    done: int = 0
    total: int = 0
    result: dict[str, Any] = field(default_factory=dict)
    log: str = ""


@dataclass(frozen=True)
class Download(Fact[Going]):
    """The download with the folder *folder* (see `provisioning.model_fetch`)."""

    folder: str

    @property
    def command(self) -> Command:
        """See who holds its lock, and read what it has written."""
        return Command.shell(_ASK, self.folder, shown=f"look at the download in {self.folder}")

    def parse(self, stdout: str) -> Going:
        """Read a word, two lines of JSON that may be empty, and lines of the log."""
        state, status, result, *log = [*stdout.split("\n"), "", ""]
        status = json.loads(status) if status else {}
        return Going(
            state=state,
            done=status.get("done", 0),
            total=status.get("total", 0),
            result=json.loads(result) if result and state == "over" else {},
            log="\n".join(log).strip(),
        )
