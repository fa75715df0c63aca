"""The real engine, the real fab, a local stack of the test's own."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
CHECKOUT = Path(__file__).resolve().parents[2]
#: Small enough to be over soon, long enough to be disturbed: 5 waves of 0.37 s at each point.
QUICK = ("load.workload.output_len=32", "load.points.0.num_prompts=20")


@dataclass
class Done:
    """How a command ended, and all that it said."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Both streams, as a person sees them."""
        return self.out + self.err


@dataclass
class Stack:
    """A stack named at random in a backend of its own; hosts and results in *folder*."""

    name: str
    folder: Path
    env: dict[str, str]
    project: Path = CHECKOUT
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def results(self) -> Path:
        """Where its runs come home."""
        return self.folder / "results" / self.name

    def pulumi(self, *argv: str, timeout: float = 120) -> Done:
        """Run the engine, without a terminal."""
        return self._run(
            "pulumi",
            *argv,
            "--non-interactive",
            "--stack",
            self.name,
            cwd=self.project,
            timeout=timeout,
        )

    def up(self) -> None:
        """Bring it up."""
        done = self.pulumi("up", "--yes")
        assert done.code == 0, done.said

    def destroy(self, *argv: str) -> Done:
        """Destroy what is there."""
        return self.pulumi("destroy", "--yes", *argv)

    def fab(self, task: str, *argv: str, timeout: float = 120) -> Done:
        """Run a task for this stack."""
        return self._run("fab", task, "--stack", self.name, *argv, timeout=timeout)

    def start(self, task: str, *argv: str) -> subprocess.Popen[bytes]:
        """Start a task for this stack and leave it running."""
        process = subprocess.Popen(
            ["fab", task, "--stack", self.name, *argv], cwd=CHECKOUT, env=self.env,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.started.append(process)
        return process

    def bare(self, *argv: str) -> Done:
        """Run any command in its environment."""
        return self._run(*argv)

    def kinds(self) -> list[str]:
        """List the kinds of resources in the state that stand for something, sorted."""
        done = self.pulumi("stack", "export")
        found = json.loads(done.out)["deployment"].get("resources", [])
        kinds = (row["type"].rpartition(":")[2] for row in found if row.get("custom"))
        return sorted(kind for kind in kinds if kind != "pulumi-python")

    def status(self) -> dict[str, Any]:
        """Tell what `fab status` knows of it."""
        about: dict[str, Any] = json.loads(self.fab("status", "--json").out)["stacks"][0]
        return about

    def host(self) -> dict[str, Any]:
        """Read the record of its local host: pid, port, folder and more."""
        (record,) = (self.folder / "home" / "hosts").glob("*/host.json")
        about: dict[str, Any] = json.loads(record.read_text())
        return about | {"folder": record.parent}

    def _run(self, *argv: str, cwd: Path = CHECKOUT, timeout: float = 120) -> Done:
        done = subprocess.run(
            argv, cwd=cwd, env=self.env, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=timeout, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)


@contextmanager
def _stack(folder: Path) -> Iterator[Stack]:
    for name in ("backend", "home", "results"):
        (folder / name).mkdir()
    stack = Stack(
        f"t-{secrets.token_hex(4)}",
        folder,
        os.environ
        | {
            "PULUMI_BACKEND_URL": f"file://{folder}/backend",
            "PULUMI_CONFIG_PASSPHRASE": "for tests only",
            "LLM_DYNO_HOME": str(folder / "home"),
            "LLM_DYNO_RESULTS": str(folder / "results"),
            "COLUMNS": "80",
        },
    )
    made = stack.pulumi("stack", "init")
    assert made.code == 0, made.said
    stack.pulumi("config", "set", "preset", "local")
    try:
        yield stack
    finally:
        stack.project = CHECKOUT
        _remove(stack)


def _remove(stack: Stack) -> None:
    """Whatever state a test left: nothing of the stack runs on."""
    for process in stack.started:
        process.kill()
        process.wait()
    for run in stack.results.glob("*Z-*"):
        (run / "ABANDONED").touch()
    done = stack.destroy()
    with suppress(FileNotFoundError):
        (CHECKOUT / "stacks" / f"Pulumi.{stack.name}.yaml").unlink()
    assert done.code == 0, done.said
    assert [] == left(stack), "processes of the stack are left"


def left(stack: Stack) -> list[int]:
    """Processes whose working folder or command line lies in the stack's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (entry / "cmdline").read_bytes().decode(errors="replace")
            if str(stack.folder / "home") in line:
                found.append(int(entry.name))
    return found


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack that is up."""
    with _stack(tmp_path) as made:
        made.up()
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that is up, for tests that leave it as it is."""
    with _stack(tmp_path_factory.mktemp("shared")) as made:
        made.up()
        yield made


@pytest.fixture
def down(tmp_path: Path) -> Iterator[Stack]:
    """A stack that was never up."""
    with _stack(tmp_path) as made:
        yield made


def sets(*pairs: str) -> list[str]:
    """``--set`` for each pair."""
    return [word for pair in pairs for word in ("--set", pair)]


def poll(look: Callable[[], T], timeout_s: float = 30.0) -> T:
    """What *look* finds as soon as it is something.

    Raises:
        AssertionError: it never was.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s} s")
