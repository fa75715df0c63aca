"""The scripts of the launchers of containers: one life, and all that may go wrong in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioning import launchers
from provisioning.command import Secret
from provisioning.engines.base import API_KEY, PORT, Container, Mount, ProcessSpec
from provisioning.launchers.base import File
from tests.provisioning.launchers import fake_docker

RUN = "20260101T000000Z-rehearsal-0a1b"
KEY = "k3y-that-nobody-sees-0123456789"
DOCKER = f'exec {sys.executable} -I -S {fake_docker.__file__} "$@"'
TRAP = "trap 'echo bye; exit' TERM; echo hello"
SERVE = f"{TRAP}; while :; do sleep 0.05; done"
by_both = pytest.mark.parametrize("engine", ["docker_run", "compose"], indirect=True)
pytestmark = pytest.mark.integration


def spec(script: str = SERVE, **changes: Any) -> ProcessSpec:
    """An engine that is a shell script, in a container."""
    given: dict[str, Any] = {
        "engine": "fake",
        "model": "m",
        "argv": ("-c", script, "sh", PORT),
        "secret_env": {API_KEY: Secret(KEY)},
        "stop_grace_s": 1.0,
        "container": Container(fake_docker.IMAGE, entrypoint="sh"),
    }
    return ProcessSpec(**(given | changes))


class Engine:
    """The folder of an engine on this machine, with the stand-in for Docker on its PATH."""

    def __init__(self, folder: Path, launcher: str) -> None:
        self.folder, self.launcher = folder / "engine", launcher
        self.docker = folder / "docker"
        self.env = os.environ | {"FAKE_DOCKER": str(self.docker)}
        self.env["PATH"] = f"{folder}/bin:{os.environ['PATH']}"
        for name in ("engine", "docker", "bin"):
            (folder / name).mkdir()
        self.env["FAKE_SITE"] = str(Path(yaml.__file__).parents[1])
        self._program(folder / "bin/docker", DOCKER)
        self._program(folder / "bin/sudo", 'shift; FAKE_ROOT=1 exec "$@"')
        self._program(folder / "bin/id", "echo 1000")

    @staticmethod
    def _program(path: Path, line: str) -> None:
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def write(self, made: ProcessSpec) -> None:
        """Put its files there."""
        for file in launchers.load(self.launcher).files(made, RUN):
            path = self.folder / file.name
            path.write_text(content(file))
            path.chmod(file.mode)

    def call(self, *verb: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Call its script."""
        argv = ["sh", str(self.folder / "engine.sh"), *verb]
        return subprocess.run(
            argv, env=self.env | env, capture_output=True, text=True, check=False, timeout=30
        )

    def start(self, made: ProcessSpec | None = None, **env: str) -> list[str]:
        """Start it; the words that it tells: pid, its start, boot, port."""
        self.write(made or spec())
        done = self.call("start", **env)
        assert 0 == done.returncode, done.stderr
        return done.stdout.splitlines()[-1].split()

    def alive(self) -> bool:
        """Whether it says that it is."""
        return self.call("alive").returncode == 0

    def log(self) -> list[str]:
        """The lines of its log."""
        return self.call("log").stdout.splitlines()

    def until_logged(self, line: str) -> None:
        """Wait until the file of its log has *line*."""
        until(lambda: line in (self.folder / "log").read_text().splitlines())

    def kill_follower(self) -> None:
        """What copies the log is gone before it could say so."""
        path = self.folder / "follower"
        until(lambda: path.exists() and bool(path.read_text().strip()))
        os.kill(int(path.read_text().split()[0]), signal.SIGKILL)

    def left(self) -> list[str]:
        """What is left of it in Docker."""
        names = ("container", "network")
        return [name for name in names if (self.docker / name).exists()]

    def calls(self, verb: str) -> list[list[str]]:
        """The calls of Docker with that verb; each begins with whether root's."""
        lines = (self.docker / "calls").read_text().splitlines()
        return [words for words in map(json.loads, lines) if words[1] == verb]


def content(file: File) -> str:
    """The text of a file, secrets revealed."""
    return file.content.reveal() if isinstance(file.content, Secret) else file.content


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for *condition*, but not for ever."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


@pytest.fixture
def engine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """By `docker run`; in tests marked with `by_both` by Compose, too."""
    made = Engine(tmp_path, getattr(request, "param", "docker_run"))
    yield made
    subprocess.run([tmp_path / "bin/docker", "rm"], env=made.env | {"FAKE_ROOT": "1"}, check=True)


@by_both
def test_its_whole_life(engine: Engine) -> None:
    """Started, alive, logged, stopped in order: its last word is in the log, nothing is left."""
    pid, *_ = engine.start()
    assert (str(pid), True) == ((engine.docker / "container").read_text(), engine.alive())
    engine.until_logged("hello")
    assert ("stopped\n", False) == (engine.call("stop").stdout, engine.alive())
    assert (["hello", "bye"], []) == (engine.log(), engine.left())
    assert "not running\n" == engine.call("stop").stdout


def test_one_that_was_never_started_is_not_running(engine: Engine) -> None:
    """Nothing is found, and that is no error."""
    engine.write(spec())
    assert ("not running\n", []) == (engine.call("stop").stdout, engine.log())


@by_both
def test_one_that_ends_at_once_is_started_and_over(engine: Engine) -> None:
    """Its start is told as any, so that who waits for it reads its last words."""
    engine.start(spec("echo first; echo last >&2; exit 3"), FAKE_WAIT="1")
    assert not engine.alive()
    engine.until_logged("last")
    assert ["first", "last"] == engine.log()
    assert ("not running\n", []) == (engine.call("stop").stdout, engine.left())


def test_one_that_is_killed_is_seen_as_ended(engine: Engine) -> None:
    """And its log is whole without anybody's asking."""
    pid, *_ = engine.start()
    engine.until_logged("hello")
    os.kill(int(pid), signal.SIGKILL)
    until(lambda: not engine.alive())
    assert ("not running\n", []) == (engine.call("stop").stdout, engine.left())


def test_one_that_does_not_go_is_killed(engine: Engine) -> None:
    """After its grace."""
    engine.start(spec("trap '' TERM; echo hello; while :; do sleep 0.05; done"))
    assert ("stopped\n", []) == (engine.call("stop").stdout, engine.left())


@pytest.mark.parametrize("verb", ["log", "stop"])
def test_a_killed_follower_loses_nothing(engine: Engine, verb: str, tmp_path: Path) -> None:
    """What it had not copied is fetched, once, by whoever asks for the log or ends the engine."""
    more = tmp_path / "more"
    script = f"{TRAP}; until [ -e {more} ]; do sleep 0.05; done; echo 'half of it'"
    engine.start(spec(f"{script}; while :; do sleep 0.05; done"))
    engine.until_logged("hello")
    engine.kill_follower()
    more.touch()
    until(lambda: "half" in (engine.docker / "container.log").read_text())
    assert ["hello"] == (engine.folder / "log").read_text().splitlines()
    engine.call(verb)
    assert "half of it" in (engine.folder / "log").read_text()
    engine.call("stop")
    assert ["hello", "half of it", "bye"] == (engine.folder / "log").read_text().splitlines()


def test_what_docker_has_thrown_away_is_not_lost_either(engine: Engine) -> None:
    """A log that was rotated: what is copied stays, and what Docker has comes after it, once."""
    engine.start()
    engine.until_logged("hello")
    engine.kill_follower()
    (engine.docker / "container.log").write_text("much later\n")
    assert engine.log() == engine.log()
    assert ["hello", "--- once more, as Docker has kept it:", "much later"] == engine.log()


def test_the_log_of_a_start_before_stays(engine: Engine) -> None:
    """It comes first, and is not taken for a part of what is to be copied now."""
    for _ in range(2):
        engine.start()
        engine.until_logged("hello")
        engine.call("stop")
    assert ["hello", "bye"] * 2 == engine.log()


def test_what_a_dead_start_has_left_is_no_obstacle(engine: Engine) -> None:
    """Its container is removed first."""
    pid, *_ = engine.start()
    os.kill(int(pid), signal.SIGKILL)
    until(lambda: not engine.alive())
    assert pid != engine.start()[0]
    assert engine.alive()


@by_both
def test_a_port_that_docker_has_given_away_is_left_to_it(engine: Engine) -> None:
    """Another one is taken: Docker's need not be seen among those of the host."""
    (engine.docker / "fail").write_text("driver failed: port is already allocated")
    engine.start()
    assert engine.alive()


@by_both
def test_a_fixed_port_that_docker_has_given_away_is_told(engine: Engine) -> None:
    """Which, in the words of all launchers; nothing is left."""
    (engine.docker / "fail").write_text("listen tcp4 127.0.0.1:9: bind: address already in use")
    engine.write(spec(port=31999))
    done = engine.call("start")
    assert (98, "port 31999 is in use\n", []) == (done.returncode, done.stderr, engine.left())


def test_ports_that_are_all_given_away_are_told(engine: Engine) -> None:
    """After five of them."""
    (engine.docker / "broken").write_text("port is already allocated")
    engine.write(spec())
    done = engine.call("start")
    assert (98, True) == (done.returncode, done.stderr.endswith("is in use\n"))
    assert 5 == len(engine.calls("run"))


@by_both
def test_what_docker_refuses_is_told_in_its_words(engine: Engine) -> None:
    """And what it made meanwhile is removed."""
    why = 'could not select device driver "" with capabilities: [[gpu]]'
    (engine.docker / "broken").write_text(why)
    engine.write(spec())
    done = engine.call("start")
    assert (1, f"{why}\n", []) == (done.returncode, done.stderr, engine.left())


@by_both
def test_where_we_are_not_let_in_root_is(engine: Engine) -> None:
    """From start to stop, the follower too."""
    (engine.docker / "closed").touch()
    engine.start()
    engine.until_logged("hello")
    assert ["hello"] == engine.log()
    assert ("stopped\n", []) == (engine.call("stop").stdout, engine.left())
    assert {"1"} == {words[0] for words in engine.calls("logs")}


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_docker_that_does_not_answer_is_told(engine: Engine, verb: str) -> None:
    """In its words: a stop that was not done is not taken for one."""
    (engine.docker / "closed").touch()
    (engine.docker.parent / "bin/sudo").write_text("#!/bin/sh\nexit 1\n")
    engine.write(spec())
    done = engine.call(verb)
    expected = "Docker does not answer: permission denied while trying to connect\n"
    assert (1, expected) == (done.returncode, done.stderr)


def test_the_log_is_there_without_docker(engine: Engine) -> None:
    """As far as it was copied."""
    engine.start()
    engine.until_logged("hello")
    engine.kill_follower()
    (engine.docker.parent / "bin/docker").write_text("#!/bin/sh\nexit 1\n")
    (engine.docker.parent / "bin/sudo").write_text("#!/bin/sh\nexit 1\n")
    assert ["hello"] == engine.log()
    (engine.docker.parent / "bin/docker").write_text(f"#!/bin/sh\n{DOCKER}\n")


def test_folders_are_ours_before_docker_makes_them(engine: Engine, tmp_path: Path) -> None:
    """One to write to is made; one to read that is not there is told."""
    made = spec().container
    assert made is not None
    write, read = tmp_path / "a b", tmp_path / "not here"
    engine.start(spec(container=replace(made, mounts=(Mount(str(write), "/w"),))))
    assert write.is_dir()
    engine.call("stop")
    engine.write(spec(container=replace(made, mounts=(Mount(str(read), "/r", read_only=True),))))
    done = engine.call("start")
    assert (1, f"{read} is not there\n") == (done.returncode, done.stderr)


@by_both
def test_the_key_is_in_no_call_and_only_in_files_for_us(engine: Engine) -> None:
    """Docker reads it from the file; the engine has it in its environment."""
    engine.start(spec('echo "got $VLLM_API_KEY"; exec sleep 20'))
    engine.until_logged(f"got {KEY}")
    engine.call("stop")
    assert KEY not in (engine.docker / "calls").read_text()
    files = [path for path in engine.folder.iterdir() if path.name != "log"]
    holders = {p.name: p.stat().st_mode & 0o777 for p in files if KEY in p.read_text()}
    assert {"env": 0o600, "api-key": 0o600} == holders
