"""The state beside a log, and both brought together."""

from __future__ import annotations

import ast
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench_agent.wire import decode
from provisioning import rundir
from provisioning.diagnosis import gather, state_probe
from provisioning.diagnosis.state import GpuMemory, GpuProcess, State
from provisioning.errors import HostError, LaunchError
from provisioning.facts.python import Pythons
from provisioning.host import Host
from provisioning.readiness import NotReadyError
from provisioning.remote import Completed
from tests.provisioning.fakes import NoRemote

RUN = "20260101T000000Z-rehearsal-0a1b"
Tool = Callable[[str, str], None]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Puts a program of that name before all others; `sudo` is one that runs what it is told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def put(name: str, script: str) -> None:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    for name in ("docker", "systemctl", "dmesg", "journalctl", "nvidia-smi"):
        put(name, "exit 9")
    put("sudo", 'shift; exec "$@"')
    return put


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """An engine's folder, whose process is this one."""
    folder = tmp_path / "engines" / RUN
    folder.mkdir(parents=True)
    born = Path("/proc/self/stat").read_text().rpartition(") ")[2].split()[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    (folder / "pid").write_text(f"{os.getpid()} {born} {boot} 8000\n")
    return folder


def probed(engine: Path) -> State:
    """What the probe tells."""
    task = {"engine": str(engine), "disks": [str(engine)]}
    return decode(State, json.loads(json.dumps(state_probe.state(task))))


def test_a_bare_host_tells_what_it_can(engine: Path, tool: Tool) -> None:
    """Tools that fail are no reason to say nothing."""
    del tool
    found = probed(engine)

    assert [(RUN, True, None)] == [(e.engine, e.alive, e.exit_code) for e in found.engines]
    assert {str(engine), "/", "/dev/shm"} == set(found.disks)
    assert (found.memory_free_mib or 0) > 0
    assert ((), (), None) == (found.gpus, found.kernel, found.docker_runtimes)
    assert state_probe.SMI_FAILED == found.smi_error


def test_engines_are_those_of_the_run(engine: Path, tool: Tool) -> None:
    """Its other instances and its front; not another run's."""
    del tool
    for name in (f"{RUN}.1", f"{RUN}.front", f"{RUN}f"):
        (engine.parent / name).mkdir()
        (engine.parent / name / "pid").write_text("4194305 1 boot 8001\n")
    found = probed(engine)

    assert [(RUN, True), (f"{RUN}.1", False), (f"{RUN}.front", False)] == [
        (one.engine, one.alive) for one in found.engines
    ]


def test_gpus_tell_who_has_their_memory(engine: Path, tool: Tool) -> None:
    """Our own processes, by descent, and others."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        tool(
            "nvidia-smi",
            f"case $1 in *apps*) echo '{child.pid}, python3, 31000'\n"
            "echo '1, /usr/bin/x, [N/A]' ;;\n"
            "*) echo '0, NVIDIA L40S, 41000, 46068'; echo '1, NVIDIA GB10, [N/A], [N/A]' ;; esac",
        )
        found = probed(engine)
        child.communicate(b"\n")

    assert (
        GpuMemory(0, "NVIDIA L40S", 41000, 46068),
        GpuMemory(1, "NVIDIA GB10"),
    ) == found.gpus
    assert (
        GpuProcess(child.pid, "python3", 31000, ours=True),
        GpuProcess(1, "/usr/bin/x"),
    ) == found.gpu_processes
    assert "On the GPUs there are also: /usr/bin/x (process 1, ? MiB)." == found.others_on_gpus()


def test_a_driver_that_fails_says_why(engine: Path, tool: Tool) -> None:
    """In its own words."""
    tool("nvidia-smi", "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")
    assert "Failed to initialize NVML: Driver/library version mismatch" == probed(engine).smi_error


def test_docker_tells_how_a_container_ended(engine: Path, tool: Tool) -> None:
    """Its exit code where it has ended, whether for memory, and how often it was started anew."""
    (engine / "pid").write_text("4194305 1 boot 8000\n")
    told = '{"Running": false, "ExitCode": 137, "OOMKilled": true} 2'
    tool("docker", f"case $1 in inspect) echo '{told}' ;; *) echo 'nvidia runc' ;; esac")
    found = probed(engine)

    (one,) = found.engines
    assert (False, 137, True, 2) == (one.alive, one.exit_code, one.oom_killed, one.restarts)
    assert ("nvidia", "runc") == found.docker_runtimes


@pytest.mark.parametrize(
    ("code", "status", "exit_code", "signal"), [("1", "3", 3, None), ("2", "9", None, 9)]
)
def test_systemd_tells_how_a_unit_ended(  # noqa: PLR0917 - a table
    engine: Path, tool: Tool, code: str, status: str, exit_code: int | None, signal: int | None
) -> None:
    """By itself, or by a signal."""
    (engine / "pid").write_text("4194305 1 boot 8000\n")
    rows = ("LoadState=loaded", "Result=oom-kill", f"ExecMainCode={code}", "NRestarts=0")
    tool("systemctl", "\n".join(f"echo {row}" for row in (*rows, f"ExecMainStatus={status}")))

    (one,) = probed(engine).engines
    assert (exit_code, signal, True, 0) == (
        one.exit_code,
        one.signal,
        one.oom_killed,
        one.restarts,
    )


def test_the_kernel_is_heard_since_the_engine_began(engine: Path, tool: Tool) -> None:
    """What it said before is another engine's; most of it is nothing to us."""
    now = Path("/proc/uptime").read_text().split(".")[0]
    lines = (
        "[    5.000001] Out of memory: Killed process 7 (old)",
        f"[{now}.000001] eth0: link is up",
        f"[{now}.000002] NVRM: Xid (PCI:0000:21:00): 79, GPU has fallen off the bus.",
        "no stamp: Killed process 8",
    )
    tool("dmesg", "\n".join(f"echo '{line}'" for line in lines))

    assert (lines[2],) == probed(engine).kernel


def test_where_the_kernels_log_is_roots_its_journal_is_read(engine: Path, tool: Tool) -> None:
    """In the same stamps."""
    now = Path("/proc/uptime").read_text().split(".")[0]
    tool("journalctl", f"echo '[{now}.000002] h kernel: Out of memory: Killed process 7 (x)'")

    assert "Killed process 7" in probed(engine).kernel[0]


@pytest.mark.integration
def test_a_host_is_asked_in_one_exchange(host: Host) -> None:
    """With the Python that it has."""
    host.gather(Pythons)
    before = host.remote.exchanges
    found = gather.state(host, RUN)

    assert (1, ()) == (host.remote.exchanges - before, found.engines)


class Says(NoRemote):
    """A remote that answers with this."""

    def __init__(self, text: str) -> None:
        self._text = text

    def run(self, command: str, **_: Any) -> Completed:
        del command
        return Completed(0, self._text, "")


def says(text: str) -> Host:
    """A host that answers with this."""
    host = Host(Says(text), "/w")
    host._known[Pythons()] = Pythons().parse("3.11.0 /usr/bin/python3\n")
    return host


@pytest.mark.parametrize("text", ["", "{}]", '{"surprise": 1}'])
def test_an_answer_that_is_none_is_an_error(text: str) -> None:
    """No traceback."""
    with pytest.raises(HostError, match="not understood"):
        gather.state(says(text), RUN)


@pytest.fixture
def run(tmp_path: Path) -> rundir.RunDir:
    """A run at home."""
    return rundir.open_run(tmp_path / "results", "s", "rehearsal", "me")


def test_a_failure_is_explained_and_kept(run: rundir.RunDir) -> None:
    """By the rescued logs and by what the host tells; the phase of a hang is the error's."""
    (run.home / "server.log").write_text("INFO [pynccl.py:113] vLLM is using nccl==2.27.5\n")
    (run.home / "server.1.log").write_text("OSError: [Errno 28] No space left on device\n")
    error = NotReadyError("It hung.", "Wait.", host="h")
    error.end, error.phase_reached = "hung", "start"
    gpus = '{"index": 0, "name": "g"}, {"index": 1, "name": "g"}'
    found = gather.failed(says(f'{{"gpus": [{gpus}]}}'), run, error)

    assert ["disk-full", "p2p-hang"] == [one.name for one in found]
    assert found == gather.kept(run)
    assert "There is no room left on a disk of the host." in error.advice
    assert "It was given up in phase start." in error.advice


def test_a_host_that_does_not_answer_is_no_obstacle(run: rundir.RunDir) -> None:
    """What the error carries is looked at where there is no log at all; what is unknown is left."""
    error = LaunchError("No.", "Ask.", log="GatedRepoError: 401")
    unknown = LaunchError("No.", "Ask.", log="what?")

    assert ["model-gated"] == [one.name for one in gather.failed(says("?"), run, error)]
    assert ([], "Ask.") == (gather.failed(says("?"), run, unknown), unknown.advice)


def test_what_is_kept_may_be_damaged(run: rundir.RunDir) -> None:
    """Then nothing is known."""
    (run.home / gather.FILE).write_text("[{}]")
    assert [] == gather.kept(run)


def test_the_probe_needs_the_standard_library_only() -> None:
    """It runs on hosts that have nothing else."""
    tree = ast.parse(Path(state_probe.__file__).read_text())
    names = {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    names |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}

    assert names
    assert set() == {name.partition(".")[0] for name in names} - sys.stdlib_module_names
