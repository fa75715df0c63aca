"""Times: of a tool's whole process, of the parts of `fab provision`, of its one exchange."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from provisioning import needs, recipe
from provisioning.deploys import gpu_host
from provisioning.deploys.step import Step
from provisioning.host import Host
from provisioning.remote import SshRemote
from tests.lab.comparison.tools import ASKED, Tool
from tests.lab.host import LabHost
from tests.lab.machine import CHECKOUT, LabError

RECIPE = "rehearsal"


@dataclass(frozen=True)
class Run:
    """One process: seconds from its start to its end, and to the end of what it printed."""

    seconds: float
    until_said: float
    said: str


def run(tool: Tool, folder: Path, *, with_tree: bool, unchanged: bool) -> Run:
    """Call *tool*. With *unchanged*, it must find nothing to change; else something.

    Raises:
        LabError: it failed, or found the opposite.
    """
    call = tool.call(with_tree=with_tree)
    with (folder / f"{tool.name}.err").open("w+") as errors:
        begun = time.monotonic()
        with subprocess.Popen(
            call.argv,
            cwd=CHECKOUT,
            env=call.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process:
            said, until_said = _read(process, begun)
            code = process.wait()
        seconds = time.monotonic() - begun
        errors.seek(0)
        # pyinfra tells its results on standard error.
        text = said + ("" if tool.name == "fab" else errors.read())
        if code or tool.unchanged(text) != unchanged:
            wanted = "nothing to change" if unchanged else "changes"
            errors.seek(0)
            raise LabError(f"{tool.name}: exit {code}, not {wanted}: {said}{errors.read()}")
    return Run(seconds, until_said, text)


def _read(process: subprocess.Popen[str], begun: float) -> tuple[str, float]:
    lines, last = [], begun
    for line in process.stdout or ():
        lines.append(line)
        last = time.monotonic()
    return "".join(lines), last - begun


def parts(run: Run) -> dict[str, float]:
    """Where the time of one run of `fab provision --json` for one host went, in seconds."""
    told = json.loads(run.said)
    task, host = float(told["seconds"]), float(told["hosts"][0]["seconds"])
    return {
        "interpreter, fabric": run.until_said - task,
        "modules, stack outputs": task - host,
        "connection, exchange": host,
        "end of the process": run.seconds - run.until_said,
    }


def exchanges(lab_host: LabHost, count: int) -> list[float]:
    """Seconds of all a deploy asks and concludes, on a connection that stands already.

    Raises:
        LabError: it is not one exchange, or finds something to change.
    """
    told = lab_host.stack_host()
    asked = recipe.load(RECIPE, [ASKED[1]])
    steps = gpu_host.collect(needs.of(asked, told, told.workdir))
    remote = SshRemote(told, lab_host.private_key)
    try:
        remote.run("true")
        return [_exchange(remote, told.workdir, steps) for _ in range(count)]
    finally:
        remote.close()


def _exchange(remote: SshRemote, workdir: str, steps: tuple[Step, ...]) -> float:
    before, begun = remote.exchanges, time.monotonic()
    deploy = gpu_host.Deploy(Host(remote, workdir, who="comparison"), steps)
    deploy.prepare()
    took = time.monotonic() - begun
    if deploy.work or remote.exchanges != before + 1:
        raise LabError(f"{remote.exchanges - before} exchanges, work: {deploy.work}")
    return took
