"""A connection that breaks while a tool measures: nothing goes on beside the next measurement."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from provisioning.second_opinion.tools import compressa_driver, vllm_driver

#: The driver as it is on a host, but quicker to notice.
_RUN = "import runpy, sys; d = runpy.run_path(sys.argv.pop(1)); d['main'].__globals__['BEAT_S']"
_HANGS = """#!{python}
import os, pathlib, time
pathlib.Path("{pid}").write_text(str(os.getpid()))
time.sleep(300)
"""


def until(fine: Callable[[], Any]) -> Any:
    """What *fine* says at last."""
    end = time.monotonic() + 20
    while not (found := fine()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def alive(pid: int) -> bool:
    """Whether there is such a process."""
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def program(path: Path, pid: Path) -> Path:
    """A tool that says who it is, and goes on for long."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(_HANGS.format(python=sys.executable, pid=pid))
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, Any]:
    """A task for either driver."""
    (tmp_path / "opinion").mkdir()
    return {
        "folder": str(tmp_path / "opinion"),
        "api_key_file": None,
        "limit_s": 250.0,
        "args": [],
        "manifest": str(tmp_path / "manifest.json"),
        "container": "dyno-R",
        "program": str(tmp_path / "bin" / "compressa-perf"),
        "prompts": ["echo", json.dumps({"prompt": "p", "max_tokens": 4})],
        "base_url": "http://127.0.0.1:9",
        "model": "m",
        "name": "n",
        "requests": 1,
        "at_once": 1,
    }


def cut(driver: Any, task: dict[str, Any], pid: Path, path: Path) -> tuple[int, bool]:
    """Nobody listens to *driver* any more: how it ended, and whether its tool goes on."""
    argv = [sys.executable, "-c", f"{_RUN} = 0.05; d['main']()", driver.__file__, json.dumps(task)]
    env = {"PATH": f"{path}:{os.environ['PATH']}"}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=env) as process:
        tool = int(until(lambda: pid.exists() and pid.read_text()))
        assert process.stdout is not None
        process.stdout.close()
        try:
            code = process.wait(10)
            return code, alive(tool)
        finally:
            process.kill()
            with suppress(ProcessLookupError):
                os.kill(tool, signal.SIGKILL)


@pytest.mark.integration
def test_compressa_ends_with_the_connection(tmp_path: Path, bare: dict[str, Any]) -> None:
    """Its whole group does, and what it left is gone: it may hold the key."""
    program(Path(bare["program"]), tmp_path / "pid")

    ended = cut(compressa_driver, bare, tmp_path / "pid", tmp_path)

    assert (1, False) == ended
    assert not Path(bare["folder"]).exists()


@pytest.mark.integration
def test_vllm_ends_with_the_connection(tmp_path: Path, bare: dict[str, Any]) -> None:
    """The program beside the engine's own."""
    own = program(tmp_path / "bin" / "vllm", tmp_path / "pid")
    engine = {"argv": [str(own), "serve", "/m"], "env": {}}
    Path(bare["manifest"]).write_text(json.dumps({"context": {"engine": engine}}))

    ended = cut(vllm_driver, bare, tmp_path / "pid", tmp_path)

    assert (1, False) == ended


@pytest.mark.integration
def test_its_container_ends_with_the_connection(tmp_path: Path, bare: dict[str, Any]) -> None:
    """It is the daemon's, and would outlive the command that began it."""
    program(tmp_path / "bin" / "hangs", tmp_path / "pid")
    docker = tmp_path / "bin" / "docker"
    hangs, seen = tmp_path / "bin" / "hangs", tmp_path / "seen"
    docker.write_text(f'#!/bin/sh\n[ "$1" != run ] || exec {hangs}\necho "$*" > {seen}\n')
    docker.chmod(0o755)
    engine = {"argv": ["vllm", "serve", "/m"], "env": {}, "container": {"image": "i"}}
    Path(bare["manifest"]).write_text(json.dumps({"context": {"engine": engine}}))

    ended = cut(vllm_driver, bare, tmp_path / "pid", tmp_path / "bin")

    assert (1, False) == ended
    assert "rm --force dyno-R-opinion\n" == seen.read_text()
