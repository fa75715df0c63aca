"""Engines on a host: started by any launcher, and from then on known by their run alone.

All that is done on the host is done by ``engines/<run-id>/engine.sh`` there, so that whoever
comes later, with whatever release, can stop it. Each call is one exchange.
"""

from __future__ import annotations

from collections.abc import Iterator

from provisioning.command import Command, quote
from provisioning.engines.base import API_KEY, ProcessSpec
from provisioning.errors import CommandError, LaunchError, UsageError
from provisioning.host import Host
from provisioning.launchers.base import KEY_FILE, SCRIPT, Handle, Launcher
from provisioning.operations import files

_PORT_IN_USE = 98
_RUNS_ALREADY = 4
_NEVER_STARTED = 3
_CALL = f'[ -f "$1" ] || exit {_NEVER_STARTED}; exec sh "$@"'
# Before its files are replaced: an engine that runs has read its key from them.
_ABSENT = f'[ ! -f "$1" ] || ! sh "$1" alive || exit {_RUNS_ALREADY}'


def start(host: Host, launcher: Launcher, spec: ProcessSpec, run_id: str) -> Handle:
    """Start the engine of *run_id*.

    Raises:
        LaunchError: it runs already (and is left alone), its port is in use, or it could not
            even be tried.
        UsageError: this is a dry run; apply `started` instead.
    """
    if host.dry_run:
        raise UsageError("A dry run starts no engine.")
    try:
        *_, answer = host.execute(*started(host, launcher, spec, run_id), label="engine.start")
    except CommandError as error:
        raise _not_started(error, spec) from error
    pid, pid_started, boot_id, port = answer.stdout.splitlines()[-1].split()
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
    """Whether the engine's process is there."""
    return host.ask(_call(host, run_id, "alive")).exit_code == 0


def stop(host: Host, run_id: str) -> bool:
    """Stop all processes of the engine, and see that they are gone; False if there were none.

    Raises:
        LaunchError: processes are left.
    """
    try:
        answers = host.execute(_call(host, run_id, "stop"), label="engine.stop")
    except CommandError as error:
        if error.status == _NEVER_STARTED:
            return False
        raise LaunchError(
            f"The engine of {run_id} could not be stopped: {error.log}.",
            "Look at its processes on the host (`fab ssh`).",
            phase="stop",
            host=host.name,
        ) from None
    return [answer.stdout.strip() for answer in answers] == ["stopped"]


def log(host: Host, run_id: str, lines: int = 200) -> str:
    """The last *lines* lines of the engine's log; empty when there is none."""
    return host.ask(_call(host, run_id, "log", str(lines))).stdout


def folder(host: Host, run_id: str) -> str:
    """Where the files of the engine of *run_id* are."""
    return host.path("engines", run_id)


def _call(host: Host, run_id: str, verb: str, *args: str) -> Command:
    path = f"{folder(host, run_id)}/{SCRIPT}"
    shown = quote("sh", path, verb, *args)
    return Command.shell(_CALL, path, verb, *args, shown=shown)


def _not_started(error: CommandError, spec: ProcessSpec) -> LaunchError:
    advice = "Look at its log (`fab logs`)."
    if error.status == _RUNS_ALREADY:
        why, advice = "it runs already", "Stop it first (`fab stop`)."
    elif error.status == _PORT_IN_USE:
        why = error.stderr
        advice = "Free it, or let a free one be found with `--set engine.port=null`."
        if spec.port is None:
            advice = "Stop what listens there."
    else:
        why = str(error).rstrip(".")
    return LaunchError(
        f"The engine was not started: {why}.", advice, host=error.host, log=error.log
    )
