"""A copy of the project under the real engine, with a backend and hosts of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stacks import local_host, local_process
from tests.stacks.hosts import wait_for

CHECKOUT = Path(__file__).resolve().parents[2]


#: Stands in for provisioning.guard: what it says is in the file `verdict` beside the project.
STAND_IN = """\
import json, pathlib, sys
question = json.load(sys.stdin)
verdict = pathlib.Path("verdict").read_text()
print("guard: asked", question["host_exists"], file=sys.stderr, flush=True)
answer = {"pass": verdict == "pass", "message": f"verdict: {verdict}", "collected": [], "lost": []}
print(json.dumps(answer))
sys.exit(verdict != "pass")
"""


YES = ("--yes", "--skip-preview")  # half the time


@dataclass(frozen=True)
class Done:
    """How a command of the engine ended."""

    code: int
    text: str


@dataclass(frozen=True)
class Project:
    """The copy, below *root*; `guard` is ``real`` or ``stand-in``."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "project"

    @property
    def results(self) -> Path:
        return self.root / "results"

    def pulumi(self, *argv: str, stack: str | None = "local") -> Done:
        """Run the engine without a terminal; both streams together."""
        named = ("--stack", stack) if stack else ()
        done = subprocess.run(
            ["pulumi", *argv, *named, "--non-interactive"],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
            check=False,
        )
        return Done(done.returncode, done.stdout)

    def must(self, *argv: str, stack: str | None = "local") -> str:
        """Run the engine; it has to succeed."""
        done = self.pulumi(*argv, stack=stack)
        assert 0 == done.code, done.text
        return done.text

    def resources(self, stack: str = "local") -> dict[str, dict[str, Any]]:
        """What stands in the state, by name (`lease`, `host`, `guard`)."""
        deployment = json.loads(self.must("stack", "export", stack=stack))["deployment"]
        rows = deployment.get("resources", [])
        return {row["urn"].rpartition("::")[2]: row for row in rows if "dynamic" in row["type"]}

    def outputs(self, stack: str = "local") -> dict[str, Any]:
        told = self.must("stack", "output", "--json", "--show-secrets", stack=stack)
        return dict(json.loads(told))

    def host_folder(self, stack: str = "local") -> Path:
        return Path(self.resources(stack)["host"]["outputs"]["folder"])

    def server(self, stack: str = "local") -> local_process.ProcessId:
        process = local_host.server(self.host_folder(stack))
        assert process is not None, "the host is not on"
        return process

    def kill_server(self, stack: str = "local") -> None:
        process = self.server(stack)
        os.kill(process.pid, signal.SIGKILL)
        assert wait_for(lambda: not local_process.alive(process))

    def verdict(self, text: str) -> None:
        """What the stand-in says from now on."""
        (self.folder / "verdict").write_text(text)

    def hosts(self) -> list[Path]:
        """The folders of all hosts that are there."""
        return sorted((self.root / "home" / "hosts").glob("*"))

    def clean_up(self) -> None:
        """Whatever a test left: no host stays, the stand-in has nothing to say."""
        for folder in self.hosts():
            local_host.remove(folder, str(local_host.recorded(folder).get("host_id", "")))

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "PULUMI_BACKEND_URL": f"file://{self.root}/backend",
            "PULUMI_HOME": str(self.root / "pulumi-home"),
            "PULUMI_CONFIG_PASSPHRASE": "for tests only",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "LLM_DYNO_HOME": str(self.root / "home"),
            "LLM_DYNO_RESULTS": str(self.results),
        }


def make(root: Path, *stacks: str, guard: str = "stand-in") -> Project:
    """A project whose *stacks* are initialised."""
    project = Project(root)
    for name in ("project", "backend", "pulumi-home", "results"):
        (root / name).mkdir()
    for name in ("Pulumi.yaml", "__main__.py"):
        shutil.copy(CHECKOUT / name, project.folder)
    skipped = shutil.ignore_patterns("Pulumi.*.yaml", "__pycache__")
    shutil.copytree(CHECKOUT / "stacks", project.folder / "stacks", ignore=skipped)
    (project.folder / ".venv").symlink_to(CHECKOUT / ".venv")
    if guard == "real":
        for name in ("provisioning", "bench_agent"):
            (project.folder / name).symlink_to(CHECKOUT / name)
    else:
        (project.folder / "provisioning").mkdir()
        (project.folder / "provisioning/__init__.py").touch()
        (project.folder / "provisioning/guard.py").write_text(STAND_IN)
        project.verdict("pass")
    for stack in stacks:
        project.must("stack", "init", stack=stack)
        if stack != "local":
            project.must("config", "set", "preset", "local", stack=stack)
    return project
