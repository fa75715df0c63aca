"""What a local host leaves behind is seen, however it hides."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tools.demo import traces

LISTENER = """\
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def host(tmp_path: Path) -> traces.LocalHost:
    """A host with a folder of its own and a port that nobody uses."""
    folder = tmp_path / "host"
    (folder / "work").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    record = {"host_id": "0123456789abcdef", "port": port}
    (folder / "host.json").write_text(json.dumps(record))
    return traces.LocalHost(folder, "0123456789abcdef", port)


@contextmanager
def listener(cwd: Path, **env: str) -> Iterator[tuple[int, int]]:
    """A process that listens on a port; its number and the port."""
    with subprocess.Popen(
        [sys.executable, "-I", "-c", LISTENER],
        cwd=cwd,
        env=dict(os.environ) | env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        yield process.pid, int(process.stdout.readline())
        process.kill()


def test_the_host_is_read_from_the_outputs(host: traces.LocalHost) -> None:
    """The folder comes from the stack's outputs, mark and port from the host's own record."""
    outputs: dict[str, object] = {"hosts": [{"workdir": str(host.folder / "work")}]}

    assert host == traces.host_in(outputs)


@pytest.mark.parametrize(
    "outputs", [{}, {"hosts": []}, {"hosts": [{"workdir": "/nonexistent/work"}]}]
)
def test_a_host_that_is_not_here_is_none(outputs: dict[str, object]) -> None:
    """No host, or none on this machine."""
    assert traces.host_in(outputs) is None


def test_hosts_that_no_state_knows_are_found(tmp_path: Path) -> None:
    """A host of this very stack is found by its folder's name; other stacks' are not."""
    for number, name in enumerate(
        ("dyno-local-0a1b2c", "dyno-local-b-0a1b2c", "dyno-other-0a1b2c")
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "host.json").write_text(json.dumps({"host_id": name, "port": number}))

    assert [traces.LocalHost(tmp_path / "dyno-local-0a1b2c", "dyno-local-0a1b2c", 0)] == (
        traces.unknown_hosts(tmp_path, "local")
    )


def test_a_marked_process_is_left_over(host: traces.LocalHost, tmp_path: Path) -> None:
    """A process with the host's mark is named with number and command, and so is its port."""
    with listener(tmp_path, LLM_DYNO_HOST=host.host_id) as (pid, port):
        assert [pid] == list(traces.processes(host))
        assert "import socket" in traces.processes(host)[pid]
        assert {port} == traces.ports_of([pid])


def test_a_process_that_shed_its_mark_is_left_over(host: traces.LocalHost) -> None:
    """Without the mark, its working folder below the host's betrays it, even a deleted one."""
    with listener(host.folder) as (pid, _):
        shutil.rmtree(host.folder)

        assert [pid] == list(traces.processes(host))


def test_another_hosts_process_is_not(host: traces.LocalHost, tmp_path: Path) -> None:
    """Other hosts on the machine are none of this one's business."""
    with listener(tmp_path, LLM_DYNO_HOST="fedcba9876543210"):
        assert {} == traces.processes(host)


def test_ports_seen_while_it_was_up_are_checked_after(
    host: traces.LocalHost, tmp_path: Path
) -> None:
    """The watch notes the engine's port; once its process is gone the port counts as closed."""
    with listener(tmp_path, LLM_DYNO_HOST=host.host_id) as (pid, port):
        with traces.Watch(host) as watch:
            deadline = time.monotonic() + 10
            while port not in watch.ports and time.monotonic() < deadline:
                time.sleep(0.02)
        assert ({pid}, {host.port, port}) == (watch.seen, watch.ports)
        assert [f"process {pid}", f"port {port}", f"folder {host.folder}"] == [
            line.split(":")[0] for line in traces.left(watch)
        ]

    (host.folder / "host.json").unlink()
    (host.folder / "work").rmdir()
    host.folder.rmdir()
    assert [] == traces.left(watch)


def test_a_port_that_somebody_still_holds_is_left_over(host: traces.LocalHost) -> None:
    """A listener is a leftover even when its process cannot be told to be the host's."""
    with socket.create_server(("127.0.0.1", host.port)):
        assert {host.port} == traces.open_ports({host.port, 1})
