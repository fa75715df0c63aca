"""The bench agent from the controller's side: built, shipped, asked."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, Any

from bench_agent import protocol, wire
from provisioning.archive import pack
from provisioning.errors import BenchError, CommandError, UsageError
from provisioning.remote import Completed, Remote
from provisioning.stack import ROOT

_PACKAGE = ROOT / "bench_agent"
_TIMEOUT_S = 60.0
_CALIBRATION_S = 600.0
_BAD_FLAGS = 2


@dataclass(frozen=True)
class Archive:
    """The agent as one file, named by its hash."""

    data: bytes
    sha256: str

    @property
    def name(self) -> str:
        """``bench-agent-<sha12>.pyz``."""
        return f"bench-agent-{self.sha256[:12]}.pyz"


@cache
def build() -> Archive:
    """The archive of the `bench_agent` package of this checkout."""
    data = pack({p.relative_to(ROOT).as_posix(): p.read_bytes() for p in _sources(_PACKAGE)})
    return Archive(data, hashlib.sha256(data).hexdigest())


def _sources(package: Path) -> Iterator[Path]:
    return (p for p in sorted(package.rglob("*.py")) if "__pycache__" not in p.parts)


def entry_point(workdir: str) -> str:
    """The script on the host that runs the agent shipped last."""
    return str(PurePosixPath(workdir) / "agent" / "current")


class Agent:
    """The agent on one host; every call is one exchange.

    Needs `entry_point` on the host (`provisioning.operations.agent`).
    """

    def __init__(self, remote: Remote, workdir: str) -> None:
        self.remote = remote
        self.workdir = workdir

    def start(self, spec: protocol.RunSpec) -> None:
        """Start a run, detached.

        Raises:
            BenchError: the agent refused the spec.
            RemoteError: the connection broke; the run may or may not have begun.
        """
        done = self._ask("start", stdin=json.dumps(wire.encode(spec)).encode())
        if done.exit_code != 0:
            raise BenchError(
                f"The agent did not start the run: {_last(done.stderr)}",
                "Mend the recipe, or see `fab logs`.",
                host=self.remote.name,
                log=done.stderr,
            )

    def status(self) -> protocol.HostStatus:
        """All runs of the host, and its lock."""
        done = self._checked("status")
        return wire.decode(protocol.HostStatus, json.loads(done.stdout))

    def status_if_there(self) -> protocol.HostStatus | None:
        """Like `status`; None where no agent was ever shipped to the host."""
        entry = shlex.quote(entry_point(self.workdir))
        done = self.remote.run(
            f"test -e {entry} || exit 77; {self.command('status')}", timeout_s=_TIMEOUT_S
        )
        if done.exit_code == 77:
            return None
        self._require("status", done)
        return wire.decode(protocol.HostStatus, json.loads(done.stdout))

    def calibrate(self, *argv: str) -> dict[str, Any]:
        """Measure the client's own error on the host.

        Raises:
            UsageError: the agent does not take *argv*.
            BenchError: it could not be measured.
        """
        done = self.remote.run(self.command("calibrate", *argv), timeout_s=_CALIBRATION_S)
        if done.exit_code == _BAD_FLAGS:
            raise UsageError(_last(done.stderr), "Correct it.")
        if done.exit_code != 0:
            raise BenchError(
                f"The client could not be measured: {_last(done.stderr)}",
                "Try fewer streams or tokens, or a host that is less busy.",
                host=self.remote.name,
                log=done.stderr,
            )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def stop(self, run_id: str) -> None:
        """End a run in order; what was measured is sealed as incomplete."""
        self._checked("stop", "--run", run_id)

    def seal(self, run_id: str) -> None:
        """Close a run whose process is gone, so that it can be collected."""
        self._checked("seal", "--run", run_id)

    @contextmanager
    def follow(self, run_id: str, since: int) -> Iterator[Iterator[protocol.Event]]:
        """Events as they come, from the one after *since* to the end."""
        command = self.command("follow", "--run", run_id, "--since", str(since))
        with self.remote.stream(command) as lines:
            yield (wire.decode(protocol.Event, json.loads(line)) for line in lines)

    @contextmanager
    def send(self, run_id: str, have: Mapping[str, int]) -> Iterator[IO[bytes]]:
        """The stream of frames with what is not in *have* (bytes by path)."""
        command = self.command("send", "--run", run_id)
        with self.remote.stream(command, stdin=json.dumps(dict(have)).encode()) as stream:
            yield stream

    def command(self, *argv: str) -> str:
        """The shell line of an agent command."""
        return shlex.join([entry_point(self.workdir), *argv, "--workdir", self.workdir])

    def _ask(self, *argv: str, stdin: bytes = b"") -> Completed:
        return self.remote.run(self.command(*argv), stdin=stdin, timeout_s=_TIMEOUT_S)

    def _checked(self, *argv: str) -> Completed:
        return self._require(argv[0], self._ask(*argv))

    def _require(self, verb: str, done: Completed) -> Completed:
        if done.exit_code == 0:
            return done
        raise CommandError(
            f"agent {verb}", done.exit_code, done.stdout, done.stderr, host=self.remote.name
        )


def _last(text: str) -> Any:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
