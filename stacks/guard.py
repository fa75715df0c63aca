"""The guard: results come home before the machine goes.

It depends on the machine, so it is deleted first; its delete asks `provisioning.guard`, and
what that refuses stays, the guard itself too.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from stacks.dynamic import Provider, tell
from stacks.failure import Failure

if TYPE_CHECKING:  # the plug-in has no use for pydantic
    from stacks.clouds.base import GpuHost

CHECKOUT = Path(__file__).resolve().parents[1]
RESULTS_VARIABLE = "LLM_DYNO_RESULTS"
UNGUARDED = "UNGUARDED"  # left by provisioning.guard where it let a machine go
_PASSED, _REFUSED = 0, 1


class GuardProvider(Provider):
    """Deleting it brings the results home, or fails."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Nothing is made: the guard only stands, and says so where the results are."""
        stack = json.loads(props["outputs"])["stack"]
        (_results() / stack / UNGUARDED).unlink(missing_ok=True)
        return CreateResult(f"guard-{props['vm_id']}", props)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Another machine needs another guard, once this one has let the old machine go."""
        if _olds["vm_id"] != _news["vm_id"]:
            return DiffResult(changes=True, replaces=["vm_id"], delete_before_replace=True)
        keys = ("cloud", "handle", "outputs")
        return DiffResult(changes=any(_olds.get(key) != _news.get(key) for key in keys))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Remember how the machine is reached now."""
        return UpdateResult(_news)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Raises Failure when results would be lost, or when nobody can tell."""
        exists = _ask_cloud(_props["cloud"], _props["handle"])
        question = {
            "outputs": json.loads(_props["outputs"]),
            "results": str(_results()),
            "host_exists": exists,
        }
        message = _judge(json.dumps(question))
        if message:
            tell(message)


class Guard(Resource, name="Guard"):
    """Stands between a machine and its deletion."""

    def __init__(
        self, cloud: str, machine: GpuHost, outputs: Mapping[str, Any], needs: list[pulumi.Resource]
    ) -> None:
        props = {
            "cloud": cloud,
            "vm_id": machine.vm_id,
            "handle": pulumi.Output.secret(machine.handle),
            # As text: Pulumi drops what is null from objects, and makes every number a float.
            "outputs": pulumi.Output.json_dumps(pulumi.Output.secret(dict(outputs))),
        }
        super().__init__(GuardProvider(), "guard", props, pulumi.ResourceOptions(depends_on=needs))


def _results() -> Path:
    return Path(os.environ.get(RESULTS_VARIABLE) or CHECKOUT / "results")


def _ask_cloud(cloud: str, handle: Mapping[str, Any]) -> bool:
    host: type[GpuHost] = importlib.import_module(f"stacks.clouds.{cloud}").GpuHost
    exists = host.exists(handle)
    if exists:
        host.wake(handle)
    return exists


def _judge(question: str) -> str:
    """The guard's message when it passes."""
    with subprocess.Popen(
        [sys.executable, "-m", "provisioning.guard"],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as judge:
        assert judge.stdin and judge.stdout and judge.stderr  # noqa: S101, PT018 - all are PIPE
        _hand_over(judge.stdin, question)
        said = list(_relayed(judge.stderr))
        answer = judge.stdout.read()
    return _verdict(judge.returncode, answer, said)


def _hand_over(stdin: IO[str], question: str) -> None:
    try:
        stdin.write(question)
        stdin.close()
    except BrokenPipeError:  # it ended before it read: its exit code says why
        return


def _relayed(stderr: IO[str]) -> Iterator[str]:
    for line in stderr:
        tell(line.rstrip("\n"))
        yield line.strip()


def _verdict(exit_code: int, answer: str, said: list[str]) -> str:
    try:
        verdict = json.loads(answer)
        message, passed = str(verdict["message"]), verdict["pass"] is True
    except (ValueError, TypeError, KeyError):
        verdict, message, passed = None, "", False
    if exit_code == _PASSED and passed:
        return message
    if exit_code == _REFUSED and verdict is not None:
        raise Failure(message)
    last = next((line for line in reversed(said) if line), "it said nothing")
    raise Failure(
        f"Nothing was deleted: whether results would be lost could not be judged "
        f"(exit code {exit_code}: {message or last}). Run `fab status`, then try again."
    )
