"""Tests of the command line itself, and of the simulator in the foreground."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench_agent import cli
from bench_agent.fetch import FetchError, get
from tests.bench_agent.commands.agent import Agent, build, end, free_port, until

pytestmark = pytest.mark.integration
CHECKOUT = Path(__file__).resolve().parents[3]
LIMIT = 96 * 1024


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent's archive."""
    return build(tmp_path_factory.mktemp("agent") / "agent.pyz")


@pytest.fixture
def agent(archive: Path, tmp_path: Path) -> Agent:
    """An agent on a fresh host."""
    return Agent(archive, sys.executable, tmp_path / "work")


def answers(port: int, path: str = "/health", key: str | None = None) -> int:
    """The status of a page; 0 while nobody answers."""
    try:
        return get(f"http://127.0.0.1:{port}", path, key=key)[0]
    except FetchError:
        return 0


def test_the_archive_is_small(archive: Path) -> None:
    """It travels over SSH to every host."""
    assert 10_000 < archive.stat().st_size <= LIMIT


def test_nothing_slow_is_imported() -> None:
    """A command is there at once: neither asyncio nor ssl nor the load client for a look."""
    code = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n"
        "import bench_agent.commands.status, bench_agent.commands.start\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    slow = {"asyncio", "ssl", "http.client", "multiprocessing", "bench_agent.load.worker"}

    assert "bench_agent.liveness" in loaded
    assert set() == loaded & slow


def test_a_command_starts_quickly(agent: Agent) -> None:
    """The best of five, since others use this machine."""
    spent = []
    for _ in range(5):
        begin = time.monotonic()
        assert 0 == agent.call("status").returncode
        spent.append(time.monotonic() - begin)

    assert min(spent) < 0.2


def test_the_version_is_told(agent: Agent) -> None:
    """As JSON."""
    found = json.loads(agent.call("version").stdout)

    assert (["version", "python", "protocol"], 1) == (list(found), found["protocol"])


@pytest.mark.parametrize("argv", [[], ["dance"], ["follow"], ["simulate", "--port", "x"]])
def test_wrong_arguments_are_refused(argv: list[str]) -> None:
    """By argparse, with exit code 2."""
    with pytest.raises(SystemExit) as refused:
        cli.main(argv)

    assert 2 == refused.value.code


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """All of them."""
    with pytest.raises(SystemExit):
        cli.main(["--help"])

    told = capsys.readouterr().out

    assert [] == [command for command in cli.COMMANDS if command not in told]


def test_the_simulator_serves_until_told_to_stop(agent: Agent) -> None:
    """With its key from the environment, and a log that looks like vLLM's."""
    port = free_port()
    argv = agent.argv("simulate", "--port", str(port), "--model", "m")
    with subprocess.Popen(argv, stderr=subprocess.PIPE, env={"VLLM_API_KEY": "sesame"}) as process:
        until(lambda: answers(port) == 200)
        found = (answers(port, "/v1/models"), answers(port, "/v1/models", "sesame"))
        second = agent.call("simulate", "--port", str(port))
        code = end(process)
        log = (process.stderr.read() if process.stderr else b"").decode()

    assert ((401, 200), 0) == (found, code)
    assert "Application startup complete." in log
    assert "sesame" not in log
    assert (98, 1) == (second.returncode, second.stderr.count(b"\n"))
    assert f"Port {port} on 127.0.0.1 is already in use.".encode() in second.stderr


@pytest.mark.parametrize(
    "flags", [("--ttft-ms", "-1"), ("--max-num-seqs", "0"), ("--port", "99999"), ("--host", "x.y")]
)
def test_a_simulator_that_cannot_be_says_so(agent: Agent, flags: tuple[str, str]) -> None:
    """One sentence, exit code 2."""
    done = agent.call("simulate", *flags)

    assert (2, 1) == (done.returncode, done.stderr.count(b"\n"))
