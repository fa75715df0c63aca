"""Stacks of lab hosts, for the real `fab`: a state as `pulumi up` leaves it, in a backend apart."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stacks.outputs import HostOutput, Price, StackOutputs
from tests.lab.host import LabHost

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE_S = 300


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Both streams, for messages of tests."""
        return self.out + self.err


@dataclass(frozen=True)
class LabStack:
    """A stack by its name, and what its commands need around them."""

    name: str
    env: dict[str, str]
    program: tuple[str, ...] = ("fab",)

    def argv(self, task: str, *argv: str) -> list[str]:
        """A task of fab for this stack."""
        return [*self.program, task, "--stack", self.name, *argv]

    def fab(self, task: str, *argv: str) -> Done:
        """Run it to its end."""
        return self._run(*self.argv(task, *argv))

    def start(self, task: str, *argv: str) -> subprocess.Popen[str]:
        """Start it; both streams are one."""
        return subprocess.Popen(
            self.argv(task, *argv),
            cwd=CHECKOUT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )

    def pulumi(self, *argv: str, data: str | None = None) -> Done:
        """Run the engine."""
        return self._run("pulumi", *argv, "--stack", self.name, "--non-interactive", data=data)

    def _run(self, *argv: str, data: str | None = None) -> Done:
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if data is None else {"input": data}
        done = subprocess.run(
            argv,
            cwd=CHECKOUT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            **given,
        )
        return Done(done.returncode, done.stdout, done.stderr)


@contextmanager
def stack_of(folder: Path, *hosts: LabHost, **changes: Any) -> Iterator[LabStack]:
    """A stack of *hosts*, up, with its state in *folder*; *changes* to what it tells of them."""
    told = [replace(h.stack_host(identity_file=str(h.key_file)), **changes) for h in hosts]
    env = os.environ | {
        "PATH": f"{CHECKOUT}/.venv/bin:{CHECKOUT}/.tools/bin:{os.environ['PATH']}",
        "PULUMI_BACKEND_URL": f"file://{folder}/backend",
        "PULUMI_HOME": str(folder / "pulumi-home"),
        "PULUMI_CONFIG_PASSPHRASE": "for tests only",
        "LLM_DYNO_HOME": str(folder / "home"),
        "LLM_DYNO_RESULTS": str(folder / "results"),
        "COLUMNS": "80",
    }
    for name in ("backend", "home", "results"):
        (folder / name).mkdir()
    stack = LabStack(f"t-{secrets.token_hex(4)}", env)
    try:
        _must(stack.pulumi("stack", "init"))
        _must(stack.pulumi("stack", "import", data=_state(stack.name, told)))
        yield stack
    finally:
        (CHECKOUT / "stacks" / f"Pulumi.{stack.name}.yaml").unlink(missing_ok=True)


def _must(done: Done) -> None:
    assert done.code == 0, done.said


def _state(name: str, hosts: Sequence[HostOutput]) -> str:
    outputs = StackOutputs(
        schema=1,
        stack=name,
        owner_label="tests",
        cloud="existing",
        region="",
        zone="",
        hosts=tuple(hosts),
        endpoints=(),
        ssh_private_key=None,
        price=Price(0.0, "owned", "tests", "2026-01-01"),
        created_at="2026-01-01T00:00:00+00:00",
        expires_at=None,
        recipe="rehearsal",
    )
    kind = "pulumi:pulumi:Stack"
    urn = f"urn:pulumi:{name}::llm-dyno::{kind}::llm-dyno-{name}"
    root = {"urn": urn, "custom": False, "type": kind, "outputs": asdict(outputs)}
    manifest = {"time": "2026-01-01T00:00:00Z", "magic": "", "version": ""}
    deployment = {"manifest": manifest, "resources": [root]}
    return json.dumps({"version": 3, "deployment": deployment})
