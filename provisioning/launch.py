"""Engines on a host: started by any launcher, and from then on known by their run alone.

All that is done on the host is done by ``engines/<id>/engine.sh`` there, so that whoever comes
later, with whatever release, can stop it. The id is the run's; of a run with several engines, the
others are ``<run-id>.1``, ``<run-id>.2`` …, and what stands in front of them ``<run-id>.front``.
What is said of a run holds for all of them. Each call is one exchange.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping

from provisioning.command import Command, quote
from provisioning.engines.base import API_KEY, ProcessSpec
from provisioning.errors import CommandError, LaunchError, UsageError
from provisioning.host import Host
from provisioning.launchers.base import KEY_FILE, SCRIPT, Handle, Launcher
from provisioning.operations import files
from provisioning.remote import Completed

_PORT_IN_USE = 98
_RUNS_ALREADY = 4
_NEVER_STARTED = 3
_CANNOT = 97
_CALL = f'[ -f "$1" ] || exit {_NEVER_STARTED}; exec sh "$@"'
# All at once: each may take its whole grace.
_STOP = f"""
pids=
for at in "$1" "$1".*; do
  [ -f "$at/{SCRIPT}" ] || continue
  sh "$at/{SCRIPT}" stop &
  pids="$pids $!"
done
[ -n "$pids" ] || exit {_NEVER_STARTED}
rc=0
for p in $pids; do wait "$p" || rc=1; done
exit $rc
"""
_ALIVE = f"""
[ -f "$1/{SCRIPT}" ] || exit {_NEVER_STARTED}
for at in "$1" "$1".*; do
  [ ! -f "$at/{SCRIPT}" ] || sh "$at/{SCRIPT}" alive || exit
done
"""
# The key is read from its file: it stands in no argument list. $3 is ours alone; with $4 the
# first engine's log is left out.
_LOGS = f"""
for at in "$1" "$1".*; do
  [ -f "$at/{SCRIPT}" ] || continue
  [ -z "$4" ] || [ "$at" != "$1" ] || continue
  printf '\n%s %s\n' "$3" "${{at##*/}}"
  key=$at/{KEY_FILE}
  [ -s "$key" ] || key=$1/{KEY_FILE}
  [ -s "$key" ] || key=/dev/null
  sh "$at/{SCRIPT}" log "$2" | awk -v key="$key" '
    BEGIN {{ getline k <key }}
    k != "" {{
      while (i = index($0, k)) $0 = substr($0, 1, i - 1) "[REDACTED]" substr($0, i + length(k))
    }}
    {{ print }}'
done
"""
# Before its files are replaced: an engine that runs has read its key from them.
_ABSENT = f'[ ! -f "$1" ] || ! sh "$1" alive || exit {_RUNS_ALREADY}'


def ids(run_id: str, count: int) -> tuple[str, ...]:
    """The ids of the *count* engines of a run."""
    return (run_id, *(f"{run_id}.{number}" for number in range(1, count)))


def front_id(run_id: str) -> str:
    """The id of what stands in front of the engines of a run."""
    return f"{run_id}.front"


def start(host: Host, launcher: Launcher, spec: ProcessSpec, run_id: str) -> Handle:
    """Start the engine *run_id*; raises as `start_all`."""
    (handle,) = start_all(host, launcher, {run_id: spec})
    return handle


def start_all(
    host: Host, launcher: Launcher, specs: Mapping[str, ProcessSpec]
) -> tuple[Handle, ...]:
    """Start engines by their ids, one after the other; those before one that fails go on.

    Raises:
        LaunchError: one runs already (and is left alone), its port is in use, or it could not
            even be tried.
        UsageError: this is a dry run; apply `started` instead.
    """
    if host.dry_run:
        raise UsageError("A dry run starts no engine.")
    work = [tuple(started(host, launcher, spec, name)) for name, spec in specs.items()]
    try:
        answers = list(host.execute(*(c for each in work for c in each), label="engine.start"))
    except CommandError as error:
        raise _not_started(error, specs) from error
    handles = []
    for (name, spec), commands in zip(specs.items(), work, strict=True):
        handles.append(_handle(host, name, spec, answers[len(commands) - 1].stdout))
        del answers[: len(commands)]
    return tuple(handles)


def _handle(host: Host, run_id: str, spec: ProcessSpec, said: str) -> Handle:
    pid, pid_started, boot_id, port = said.splitlines()[-1].split()
    at = folder(host, run_id)
    return Handle(
        run_id=run_id,
        pid=int(pid),
        pid_started=int(pid_started),
        boot_id=boot_id,
        port=int(port),
        ready_path=spec.ready_path,
        log=f"{at}/log",
        api_key_file=f"{at}/{KEY_FILE}" if API_KEY in spec.secret_env else None,
    )


def started(host: Host, launcher: Launcher, spec: ProcessSpec, run_id: str) -> Iterator[Command]:
    """The engine's files are on the host, and it runs."""
    at = folder(host, run_id)
    absent = f"check that {run_id} has no engine"
    yield Command.shell(_ABSENT, f"{at}/{SCRIPT}", shown=absent)
    yield files.make(at, 0o700)
    for file in launcher.files(spec, run_id):
        yield files.write(f"{at}/{file.name}", file.content, file.mode)
    yield _call(host, run_id, "start")


def alive(host: Host, run_id: str) -> bool:
    """Whether the first process of each engine of the run is there."""
    command = Command.shell(_ALIVE, folder(host, run_id), shown=f"see whether {run_id} is alive")
    return host.ask(command).exit_code == 0


def stop(host: Host, run_id: str) -> bool:
    """Stop all processes of all engines of the run, and see that they are gone.

    False if there were none.

    Raises:
        LaunchError: processes are left.
    """
    return stop_with_logs(host, run_id, 0)[0]


def stop_with_logs(host: Host, run_id: str, lines: int) -> tuple[bool, dict[str, str]]:
    """As `stop`; and the last *lines* lines of what engines beside the first had said before.

    Raises:
        LaunchError: as `stop`.
    """
    mark = secrets.token_hex(16)
    stopped = Command.shell(_STOP, folder(host, run_id), shown=f"stop the engines of {run_id}")
    commands = [stopped]
    if lines:
        commands.insert(0, _logs(host, run_id, lines, mark, others=True))
    try:
        *logs, answer = host.execute(*commands, label="engine.stop") or (Completed(0, "", ""),)
    except CommandError as error:
        if error.status == _NEVER_STARTED:
            return False, {}
        raise LaunchError(
            f"The engine of {run_id} could not be stopped: {error.stderr or error.log}.",
            "Look at its processes on the host (`fab ssh`).",
            phase="stop",
            host=host.name,
        ) from None
    return "stopped" in answer.stdout.split("\n"), _taken_apart(
        logs[0].stdout if logs else "", mark
    )


def logs(host: Host, run_id: str, lines: int) -> dict[str, str]:
    """The last *lines* lines of the log of each engine of the run, without its key, by id."""
    mark = secrets.token_hex(16)
    return _taken_apart(host.ask(_logs(host, run_id, lines, mark)).stdout, mark)


def log(host: Host, run_id: str, lines: int = 200) -> str:
    """The last *lines* lines of the engine's log; empty when there is none."""
    return host.ask(_call(host, run_id, "log", str(lines))).stdout


def folder(host: Host, run_id: str) -> str:
    """Where the files of the engine of *run_id* are."""
    return host.path("engines", run_id)


def _logs(host: Host, run_id: str, lines: int, mark: str, *, others: bool = False) -> Command:
    argv = (folder(host, run_id), str(lines), f"--{mark}", "others" if others else "")
    return Command.shell(_LOGS, *argv, shown=f"read the logs of {run_id}")


def _taken_apart(said: str, mark: str) -> dict[str, str]:
    _, *parts = re.split(rf"\n--{mark} (.*)\n", said)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _call(host: Host, run_id: str, verb: str, *args: str) -> Command:
    path = f"{folder(host, run_id)}/{SCRIPT}"
    shown = quote("sh", path, verb, *args)
    return Command.shell(_CALL, path, verb, *args, shown=shown)


def _not_started(error: CommandError, specs: Mapping[str, ProcessSpec]) -> LaunchError:
    advice = "Look at its log (`fab logs`)."
    if error.status == _RUNS_ALREADY:
        why, advice = "it runs already", "Stop it first (`fab stop`)."
    elif error.status == _PORT_IN_USE:
        why = error.stderr
        advice = "Free it, or let a free one be found with `--set engine.port=null`."
        if all(spec.port is None for spec in specs.values()):
            advice = "Stop what listens there."
    elif error.status == _CANNOT:
        why, advice = error.stderr, "Choose another launcher: `--set launcher=process`."
    else:
        why = str(error).rstrip(".")
    return LaunchError(
        f"The engine was not started: {why}.", advice, host=error.host, log=error.log
    )
