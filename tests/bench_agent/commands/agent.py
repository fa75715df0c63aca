"""The agent as a host has it: an archive, run by a bare Python."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_agent.protocol import Event, Frame, HostStatus, RunSpec
from bench_agent.wire import decode, encode
from provisioning import agent as archive


def build(path: Path) -> Path:
    """The archive as it is shipped."""
    path.write_bytes(archive.build().data)
    return path


def interpreters() -> list[str]:
    """All Pythons from 3.10 on that this machine has and that run."""
    names = [f"python3.{minor}" for minor in range(10, 16)]
    homes = sorted(Path.home().glob(".pyenv/versions/3.1[0-9].*/bin/python3"))
    found = [path for name in names if (path := shutil.which(name))] + [str(p) for p in homes]
    known: dict[str, str] = {}
    for path in found:
        asked = subprocess.run(
            [path, "-I", "-S", "-c", "import sys; print(*sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode == 0:
            known.setdefault(asked.stdout, path)
    return list(known.values())


@dataclass
class Agent:
    """An archive, a Python and a working folder."""

    archive: Path
    python: str
    workdir: Path

    def argv(self, *command: str) -> list[str]:
        """What starts a command."""
        bare = [self.python, "-I", "-S", str(self.archive)]
        return [*bare, *command, "--workdir", str(self.workdir)]

    def call(self, *command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end."""
        return subprocess.run(
            self.argv(*command), input=stdin, capture_output=True, check=False, timeout=60
        )

    def start(self, spec: RunSpec) -> int:
        """Start a run; its pid."""
        done = self.call("start", stdin=json.dumps(encode(spec)).encode())
        assert (0, b"") == (done.returncode, done.stderr)
        answer = json.loads(done.stdout)
        assert spec.run_id == answer["run_id"]
        return int(answer["pid"])

    def follow(self, run_id: str, *more: str) -> list[Event]:
        """All events until the run has ended."""
        done = self.call("follow", "--run", run_id, *more)
        assert 0 == done.returncode, done.stderr
        return [decode(Event, json.loads(line)) for line in done.stdout.splitlines()]

    def status(self) -> HostStatus:
        """What the host says of itself."""
        return decode(HostStatus, json.loads(self.call("status").stdout))

    def send(self, run_id: str, have: dict[str, int]) -> tuple[list[tuple[Frame, bytes]], Frame]:
        """All frames with their bytes, and the closing one."""
        done = self.call("send", "--run", run_id, stdin=json.dumps(have).encode())
        assert 0 == done.returncode, done.stderr
        frames, rest = [], done.stdout
        while True:
            line, _, rest = rest.partition(b"\n")
            frame = decode(Frame, json.loads(line))
            if not frame.path:
                assert b"" == rest
                return frames, frame
            frames.append((frame, rest[: frame.length]))
            rest = rest[frame.length :]


def until(done: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Look until there is something to see."""
    deadline = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def end(process: subprocess.Popen[bytes]) -> int:
    """Ask a process to end; its exit code."""
    process.send_signal(signal.SIGTERM)
    return process.wait(10)
