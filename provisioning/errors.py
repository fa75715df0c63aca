"""Every error a person may see: one sentence on what happened, one on what to do.

::

    DynoError                    phase, host, retryable, exit code
    ├── UsageError               a bad argument, recipe or key; nothing was started
    ├── StackError               unknown stack, missing or unreadable outputs
    ├── RemoteError              connection refused, authentication, time-out (retryable)
    │   └── CommandError         argv (redacted), exit code, last 20 lines of each stream
    ├── HostError                no GPU, Python too old, disk full, locked by whom since when
    ├── LaunchError              engine exited or never ready; carries the tail of its log
    ├── BenchError               agent died, too many failed requests
    ├── CollectError             checksum mismatch, result incomplete (blocks teardown advice)
    └── PageError                the report of a run cannot be written
"""

from __future__ import annotations

TAIL_LINES = 20


class DynoError(Exception):
    """What happened, what to do about it, and where.

    `exit_code` is documented in docs/reference/exit-codes.md, one a phase.
    """

    exit_code = 1
    phase = "bench"
    retryable = False

    def __init__(
        self,
        what: str,
        advice: str = "",
        *,
        phase: str | None = None,
        host: str | None = None,
        log: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice
        self.phase = phase or self.phase
        self.host = host
        self.log = tail(log)

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.advice) if part)


class UsageError(DynoError):
    """A bad argument, recipe or configuration key."""

    exit_code = 2
    phase = "arguments"


class StackError(DynoError):
    """The stack is unknown, not up, or its outputs cannot be read."""

    exit_code = 3
    phase = "stack"


class RemoteError(DynoError):
    """The host could not be reached, or the connection broke."""

    exit_code = 4
    phase = "connect"
    retryable = True


class HostKeyError(RemoteError):
    """The host showed another key than the one that is pinned."""

    retryable = False


class CommandError(RemoteError):
    """A command on the host did not end with 0."""

    phase = "provision"
    retryable = False

    def __init__(
        self,
        argv: str,
        exit_code: int,
        stdout: str = "",
        stderr: str = "",
        *,
        advice: str = "",
        phase: str | None = None,
        host: str | None = None,
    ) -> None:
        self.argv = argv
        self.status = exit_code
        self.stdout = tail(stdout)
        self.stderr = tail(stderr)
        super().__init__(
            f"A command ended with {exit_code} on the host: {argv}",
            advice,
            phase=phase,
            host=host,
            log="\n".join(part for part in (self.stdout, self.stderr) if part),
        )


class HostError(DynoError):
    """The host is not fit for the recipe, or somebody else is using it."""

    exit_code = 5
    phase = "provision"


class LaunchError(DynoError):
    """The engine exited, or never became ready."""

    exit_code = 6
    phase = "serve"


class BenchError(DynoError):
    """The load could not be measured, or failed above its limit."""

    exit_code = 7
    phase = "load"


class CollectError(DynoError):
    """Results are not whole at home; nothing may be torn down yet."""

    exit_code = 8
    phase = "collect"
    retryable = True


class PageError(DynoError):
    """The report of a run cannot be written; its results are not touched by that."""

    exit_code = 9
    phase = "report"


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """The last *lines* lines of *text*."""
    return "\n".join(text.rstrip().splitlines()[-lines:])
