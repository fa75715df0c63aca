"""Several commands in one exchange: the script that is sent, and what came back, taken apart.

The script is standard input of one ``sh -s``: it stands in no process list, and it is one
compound command, so that a connection cut in the middle of it runs nothing.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

from provisioning.command import Command, quote
from provisioning.remote import Completed

SHELL = "exec /bin/sh -s"

_AUDIT = """\
audit() {
  [ -d "$DYNO_WORKDIR" ] || return 0
  (umask 077; printf '%s exit=%s %s\\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" "$2" \
>>"$DYNO_WORKDIR/audit.log")
}
"""


def asking(commands: Sequence[Command], workdir: str, boundary: str) -> str:
    """A script that runs all *commands*, whatever each of them ends with; changes nothing."""
    parts = [_run(command, boundary) for command in commands]
    return _compound(workdir, "LC_ALL=C; export LC_ALL\n" + "".join(parts))


def changing(commands: Sequence[Command], workdir: str, boundary: str, label: str) -> str:
    """A script that runs *commands* up to the first that fails, one audit line for each."""
    parts = [
        _run(command, boundary)
        + f"audit $rc {quote(_one_line(f'{label}: {command}'))}\n[ $rc = 0 ] || exit 0\n"
        for command in commands
    ]
    return _compound(workdir, _AUDIT + "".join(parts))


def answers(completed: Completed, boundary: str) -> list[Completed]:
    """What each command that was run printed and ended with, in order."""
    out = re.split(rf"\n--{boundary} (\d+)\n", completed.stdout)
    err = completed.stderr.split(f"\n--{boundary}\n")
    codes = [int(code) for code in out[1::2]]
    return [Completed(code, out[2 * i], err[i]) for i, code in enumerate(codes)]


def _compound(workdir: str, body: str) -> str:
    return f"{{\nDYNO_WORKDIR={quote(workdir)}; export DYNO_WORKDIR\n{body}exit 0\n}}\n"


def _run(command: Command, boundary: str) -> str:
    payload = command.payload()
    if payload:
        # Base64, for a here-document can hold neither NUL nor its own end.
        text = base64.encodebytes(payload).decode()
        line = f"base64 -d <<'EOF-{boundary}' | {command.line()}\n{text}EOF-{boundary}\n"
    else:
        line = f"{command.line()} </dev/null\n"
    end = rf"rc=$?; printf '\n--{boundary} %s\n' $rc; printf '\n--{boundary}\n' >&2"
    return f"{line}{end}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:400]
