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
#: How a line begins that a command says to a person.
TELLS = "dyno: "
#: Well below `remote.DEAD_AFTER_S`.
_BEAT_S = 10

_AUDIT = """\
audit() {
  [ -d "$DYNO_WORKDIR" ] || return 0
  (umask 077; printf '%s exit=%s %s\\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" "$2" \
>>"$DYNO_WORKDIR/audit.log")
}
"""
# Held for as long as this shell lives, which is as long as its commands: when `fab` dies, the
# next one waits for what goes on here (facts/changing.py). Children do not inherit it (9>&-), for
# those that stay in the background would hold it.
_HOLD = """\
if [ -r "$DYNO_WORKDIR" ]; then exec 9<"$DYNO_WORKDIR"; flock -s 9 2>/dev/null || :
else exec 9</dev/null; fi
"""
_FENCE = """\
owner=$DYNO_WORKDIR/lock/owner.json
if ! grep -qsF {run} "$owner"; then
  if [ -e "$owner" ]; then why=taken; else why=gone; fi
  printf '\\n--{boundary} lost %s\\n' $why; exit 0
fi
"""
# The pause is detached from the pipe: it would keep it open after the end.
_BEAT = """\
exec 2>&1
(while sleep {every} >/dev/null 2>&1 9>&-; do printf '\\n--{boundary} beat\\n'; done) 9>&- &
beat=$!; trap 'kill $beat 2>/dev/null' EXIT
"""
# A person who logs in as root needs no sudo, which small systems do not have.
_ROOT = 'if [ "$(id -u)" = 0 ]; then sudo() { shift; "$@"; }; fi\n'


def asking(commands: Sequence[Command], workdir: str, boundary: str) -> str:
    """A script that runs all *commands*, whatever each of them ends with; changes nothing.

    Those with sudo have to be the last: they share one call of it, for each costs some
    10 milliseconds.
    """
    plain = [_run(command, command.line(), boundary) for command in commands if not command.sudo]
    asked = [_run(c, c.line(root=True), boundary) for c in commands if c.sudo]
    body = "LC_ALL=C; export LC_ALL\n" + "".join(plain)
    if asked:
        inner = _compound(workdir, "LC_ALL=C; export LC_ALL\n" + "".join(asked), boundary)
        text = base64.encodebytes(inner.encode()).decode()
        body += (
            f"{_ROOT}base64 -d <<'ROOT-{boundary}' | sudo -n /bin/sh -s\n{text}ROOT-{boundary}\n"
        )
    return _compound(workdir, body, boundary)


def changing(
    commands: Sequence[Command],
    workdir: str,
    boundary: str,
    label: str,
    fence: str = "",
    *,
    beating: bool = False,
) -> str:
    """A script that runs *commands* up to the first that fails, one audit line for each.

    With *fence*, a run's id, nothing is done unless that run has the host's lock. A *beating*
    one says something all the time, and what goes to standard error goes to standard output.
    """
    parts = [
        _run(command, f"{command.line()} 9>&-", boundary, errors=not beating)
        + f"audit $rc {quote(_one_line(f'{label}: {command}'))}\n[ $rc = 0 ] || exit 0\n"
        for command in commands
    ]
    before = _AUDIT + _HOLD
    if fence:
        before += _FENCE.format(run=quote(f'"{fence}"'), boundary=boundary)
    if beating:
        before += _BEAT.format(every=_BEAT_S, boundary=boundary)
    if any(command.sudo for command in commands):
        before += _ROOT
    return _compound(workdir, before + "".join(parts), boundary)


def answers(completed: Completed, boundary: str) -> list[Completed]:
    """What each command that was run printed and ended with, in order.

    What a login shell's own files print comes before the script's first word, and is dropped.
    """
    begin = f"\n--{boundary} begin\n"
    stdout, stderr = (t.partition(begin)[2] or t for t in (completed.stdout, completed.stderr))
    out = re.split(rf"\n--{boundary} (\d+)\n", stdout)
    err = stderr.split(f"\n--{boundary}\n")
    codes = [int(code) for code in out[1::2]]
    err += [""] * len(codes)
    out, err = ([t.rpartition(begin)[2] for t in texts] for texts in (out, err))  # sudo's, too
    return [Completed(code, out[2 * i], err[i]) for i, code in enumerate(codes)]


def lost(completed: Completed, boundary: str) -> str:
    """Why the fence kept everything from being run: ``taken``, ``gone``; empty if it did not."""
    found = re.search(rf"\n--{boundary} lost (\w+)\n", completed.stdout)
    return found[1] if found else ""


def said(completed: Completed, boundary: str) -> Completed:
    """All that was printed, without the marks in it."""
    out, err = (
        re.sub(
            rf"\n--{boundary}[^\n]*\n", "\n", text.partition(f"\n--{boundary} begin\n")[2] or text
        )
        for text in (completed.stdout, completed.stderr)
    )
    return Completed(completed.exit_code, out, err)


def beat(boundary: str) -> bytes:
    """What a beating script prints now and then: these bytes are no output of a command."""
    return f"\n--{boundary} beat\n".encode()


def _compound(workdir: str, body: str, boundary: str) -> str:
    begin = rf"printf '\n--{boundary} begin\n'; printf '\n--{boundary} begin\n' >&2"
    folder = f"DYNO_WORKDIR={quote(workdir)}; export DYNO_WORKDIR"
    return f"{{\n{begin}\n{folder}\n{body}exit 0\n}}\n"


def _run(command: Command, line: str, boundary: str, *, errors: bool = True) -> str:
    payload = command.payload()
    if command.secret_env:  # a subshell's variables stand in no argument list
        pairs = [(name, quote(value.reveal())) for name, value in command.secret_env]
        line = f"({''.join(f'{k}={v}; export {k}; ' for k, v in pairs)}{line})"
    if payload:
        # Base64, for a here-document can hold neither NUL nor its own end.
        text = base64.encodebytes(payload).decode()
        line = f"base64 -d <<'EOF-{boundary}' | {line}\n{text}EOF-{boundary}\n"
    else:
        line = f"{line} </dev/null\n"
    end = rf"rc=$?; printf '\n--{boundary} %s\n' $rc"
    if errors:
        end += rf"; printf '\n--{boundary}\n' >&2"
    return f"{line}{end}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:400]
