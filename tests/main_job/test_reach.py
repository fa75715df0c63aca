"""Reaching the host by hand, with the stack's own keys."""

from __future__ import annotations

import shutil
import signal
import socket
import urllib.request
from contextlib import suppress

import pytest

from tests.main_job.conftest import QUICK, Stack, poll, sets
from tests.main_job.runs import on_host

pytestmark = pytest.mark.integration


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.skipif(shutil.which("ssh") is None, reason="OpenSSH's client is not on this machine")
def test_ssh_runs_a_command_on_the_host(shared: Stack) -> None:
    """OpenSSH logs in with the pinned host key; the command's exit code is fab's."""
    done = shared.fab("ssh", "--command", "pwd; exit 7")

    assert (7, f"{shared.host()['folder']}/work\n") == (done.code, done.out), done.err


@pytest.mark.skipif(shutil.which("ssh") is None, reason="OpenSSH's client is not on this machine")
def test_the_session_holds_no_credentials(stack: Stack) -> None:
    """What the person who brought the stack up has in the environment stays there."""
    planted = {"AWS_SECRET_ACCESS_KEY": "planted", "HF_TOKEN": "planted"}
    stack.destroy()
    stack.env |= planted
    stack.up()

    done = stack.fab("ssh", "--command", "env")

    assert "LLM_DYNO_HOST=" in done.out
    assert "planted" not in done.out
    assert "PULUMI" not in done.out


def test_a_tunnel_reaches_the_running_engine(stack: Stack) -> None:
    """The engine listens on the host's loopback; a tunnel makes it reachable here."""
    bench = stack.start("bench", *sets(*QUICK, "load.points.0.num_prompts=1000"))
    poll(lambda: on_host(stack))
    port = _free_port()
    tunnel = stack.start("tunnel", "--port", str(port))

    def healthy() -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as reply:
            return bool(reply.status == 200)
        return False

    reached = poll(healthy)
    tunnel.send_signal(signal.SIGINT)
    ends = tunnel.wait(20)
    stack.fab("stop")
    bench.wait(60)

    assert (True, 0) == (reached, ends)


def test_a_tunnel_without_an_engine_is_told(shared: Stack) -> None:
    """Nothing to reach is one sentence, and what to do."""
    done = shared.fab("tunnel")

    assert 4 == done.code
    assert "No engine runs on the host." in done.err
