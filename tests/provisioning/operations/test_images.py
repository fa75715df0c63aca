"""Images are pulled, all at once, and say how far they are."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from provisioning.errors import HostError
from provisioning.facts.images import Image
from provisioning.host import Host
from provisioning.operations import images
from provisioning.remote import LocalRemote
from tests.provisioning.fakes import FakeHost
from tests.provisioning.gpu_hosts import DAEMON, lines, served

SHA = "sha256:" + "a" * 64
THERE = (Image("python", "3.11", "", "sha256:1"), Image("r:5000/x", "", SHA, "sha256:2"))
# Layers as `docker pull` tells them without a terminal; `wait` lets the test say when to go on.
DOCKER = """#!/bin/sh
[ "$1" = pull ] || exit 64
echo "$2" >>"$CALLS"
case $2 in
  bad*) echo 'Error response from daemon: manifest for bad:1 not found: manifest unknown'; exit 1 ;;
  dead*) kill -9 $PPID; exit 1 ;;
esac
printf 'v1: Pulling from x\\nabc: Pulling fs layer\\ndef: Already exists\\n'
printf 'abc: Download complete\\n'
case $2 in wait*) read -r _ <"$FIFO" ;; esac
printf 'abc: Pull complete\\nDigest: sha256:0\\n'
"""


class Docker:
    """A stand-in for the command on a host that is this machine."""

    def __init__(self, folder: Path) -> None:
        self.calls, self.fifo = folder / "calls", folder / "fifo"
        os.mkfifo(self.fifo)
        self.host = Host(LocalRemote(folder), f"{folder}/w x")
        self.told: list[str] = []
        self.host.tell = self.told.append

    def pull(self, *names: str) -> None:
        fake = served(Images=())
        fake.workdir = self.host.workdir
        self.host.execute(*images.pulled(fake, *names), label="test")

    def called(self) -> list[str]:
        return self.calls.read_text().split() if self.calls.exists() else []

    def go_on(self) -> None:
        with self.fifo.open("w") as pipe:
            pipe.write("\n")


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").write_text(
        DOCKER.replace("$CALLS", f"{tmp_path}/calls").replace("$FIFO", f"{tmp_path}/fifo")
    )
    (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return Docker(tmp_path)


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        os.sched_yield()


def host(**changes: object) -> FakeHost:
    return served(Images=THERE, **changes)


@pytest.mark.parametrize(
    "name",
    ["python:3.11", "docker.io/library/python:3.11", f"r:5000/x@{SHA}", f"r:5000/x:v1@{SHA}"],
)
def test_an_image_that_is_there_is_not_pulled(name: str) -> None:
    """By whatever name of it the recipe calls it."""
    assert [] == list(images.pulled(host(), name))


def test_those_that_are_missing_are_pulled_together() -> None:
    """One command for all; each once; by root where Docker does not answer our user."""
    names = ("python:3.11", "python:3.12", f"x@{SHA}", "python:3.12")
    assert [f"pull python:3.12, x@{SHA}"] == lines(images.pulled(host(), *names))
    (command,) = images.pulled(host(Docker=replace(DAEMON, access="root")), "x:1")
    assert "sudo -n docker" in command.argv


def test_the_manifest_gets_what_an_image_really_is() -> None:
    """The registry's digest, or the image's own id; nothing for one that is not there."""
    found = images.digests(host(), "python:3.11", f"r:5000/x@{SHA}", "none:1")
    assert {"python:3.11": "sha256:1", f"r:5000/x@{SHA}": SHA} == found


@pytest.mark.integration
def test_several_are_pulled_at_once_and_tell_how_far_they_are(docker: Docker) -> None:
    """One that takes long does not hold up the others; nothing of the pulls is left."""
    with ThreadPoolExecutor(1) as pool:
        pulling = pool.submit(docker.pull, "wait:1", "x:2")
        until(lambda: [line for line in docker.told if "1 of 2 layers" in line])
        docker.go_on()
        pulling.result()
    assert ["wait:1", "x:2"] == sorted(docker.called())
    assert re.fullmatch(r"pulling wait:1: 1 of 2 layers, \d+ s", docker.told[-1])
    left = {path.suffix for path in Path(docker.host.path("pulls")).iterdir()}
    assert {".lock"} == left


@pytest.mark.integration
def test_a_pull_that_fails_names_its_image_and_why(docker: Docker) -> None:
    """The others are pulled all the same; a second try asks again."""
    for _ in range(2):
        with pytest.raises(HostError) as caught:
            docker.pull("bad:1", "x:2")
    assert (
        "The image bad:1 cannot be pulled: its registry has no such tag or digest "
        "(manifest unknown)." == caught.value.what
    )
    assert ["bad:1", "bad:1", "x:2", "x:2"] == sorted(docker.called())


@pytest.mark.integration
def test_the_word_of_an_earlier_pull_does_not_count(docker: Docker) -> None:
    """It failed, and nobody was there to hear it."""
    folder = Path(docker.host.path("pulls"))
    folder.mkdir(parents=True)
    (folder / f"{hashlib.sha256(b'wait:1').hexdigest()[:16]}.rc").write_text("1\n")
    with ThreadPoolExecutor(1) as pool:
        pulling = pool.submit(docker.pull, "wait:1")
        until(lambda: docker.told or pulling.done())
        docker.go_on()
        pulling.result()


@pytest.mark.integration
def test_a_pull_that_was_killed_is_not_waited_for(docker: Docker) -> None:
    """It left no word of how it ended; its lock is free."""
    with pytest.raises(HostError, match="dead:1 cannot be pulled: the pull was killed"):
        docker.pull("dead:1")


@pytest.mark.integration
def test_a_pull_outlives_whoever_waited_for_it_and_the_next_one_joins_it(docker: Docker) -> None:
    """The connection was cut: the image is not asked for twice."""
    folder = docker.host.path("pulls")
    argv = ["sh", "-c", images._PULL, "sh", folder, "docker", "wait:1"]
    with subprocess.Popen(argv, start_new_session=True, stdout=subprocess.DEVNULL) as first:
        until(docker.called)
        os.killpg(first.pid, signal.SIGKILL)
    with ThreadPoolExecutor(1) as pool:
        pulling = pool.submit(docker.pull, "wait:1")
        until(lambda: docker.told)
        docker.go_on()
        pulling.result()
    assert ["wait:1"] == docker.called()
