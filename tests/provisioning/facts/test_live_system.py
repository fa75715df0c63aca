"""Facts of disks and system, asked of this machine: their commands work in a plain shell."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from provisioning.facts.arrays import Arrays
from provisioning.facts.clock import Clock
from provisioning.facts.egress import Egress, Way
from provisioning.facts.fstab import Fstab
from provisioning.facts.hugepages import HugePages
from provisioning.facts.limits import Limits
from provisioning.facts.mounts import Mount, Mounts, at
from provisioning.facts.places import Place
from provisioning.facts.python_env import FROZEN, Environment, PythonEnv
from provisioning.facts.space import Space
from provisioning.facts.uv import Uv
from provisioning.host import Host
from provisioning.remote import LocalRemote


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(LocalRemote(tmp_path), str(tmp_path))


def test_all_can_be_asked_of_any_machine(host: Host) -> None:
    """In one exchange, whatever is not there."""
    asked = (Arrays(), Clock(), Fstab(), HugePages(), Limits(), Mounts())
    host.gather(*asked)
    assert (1, True) == (host.remote.exchanges, all(host.fact(fact) is not None for fact in asked))


def test_limits_are_those_of_this_process(host: Host) -> None:
    """What commands of ours start with."""
    limited = host.fact(Limits)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = limited.session["nofile"]
    assert (soft, hard) == (found.soft, found.hard)
    assert {"memlock", "nofile", "stack"} == limited.init.keys()
    assert limited.nr_open >= hard


def test_huge_pages_are_those_that_the_kernel_knows(host: Host) -> None:
    """By their sizes."""
    folder = Path("/sys/kernel/mm/hugepages")
    sizes = {path.name.removeprefix("hugepages-") for path in folder.glob("hugepages-*")}
    assert sizes == host.fact(HugePages).keys()


def test_the_mount_of_a_path_is_the_nearest(host: Host) -> None:
    """The last one where several lie over each other."""
    root, data, hidden = (
        Mount(folder, "ext4", source, read_only=False)
        for folder, source in (("/", "a"), ("/data", "b"), ("/data", "c"))
    )
    table = (root, data, hidden)
    paths = ("/data", "/data/x", "/database", "/")
    assert [hidden, hidden, root, root] == [at(table, path) for path in paths]
    assert at((), "/data") is None
    assert at(host.fact(Mounts), str(Path("/proc/sys/vm"))) is not None


def test_places_are_told_apart(host: Host, tmp_path: Path) -> None:
    """Links are not followed, whether they lead somewhere or not."""
    for name in ("empty", "filled"):
        (tmp_path / name).mkdir()
    (tmp_path / "filled" / ".x").touch()
    (tmp_path / "link").symlink_to("empty")
    (tmp_path / "broken").symlink_to("/no where")
    (tmp_path / "other").touch()
    names = ("nothing", "empty", "filled", "link", "broken", "other")
    found = [host.fact(Place(str(tmp_path / name))) for name in names]
    assert ["nothing", "empty", "filled", "link empty", "link /no where", "other"] == found


def test_room_is_that_of_the_first_folder_that_exists(host: Host, tmp_path: Path) -> None:
    """The folder need not be there yet; nor any above it."""
    free = shutil.disk_usage(tmp_path).free
    assert host.fact(Space(f"{tmp_path}/not/yet")) == pytest.approx(free, rel=0.05)
    assert host.fact(Space("/no-such-folder")) > 0


@pytest.fixture
def server() -> Iterator[str]:
    """A server that has nothing for anybody."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(404)

        def log_message(self, *args: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_any_answer_means_that_it_can_be_reached(host: Host, server: str, tmp_path: Path) -> None:
    """Even that nothing is there."""
    assert host.fact(Egress((Way(server, (f"{tmp_path}/none",)),))) == {}


def test_what_cannot_be_reached_is_told_with_the_reason(
    host: Host, unused_port: int, tmp_path: Path
) -> None:
    """Unless receipts say that nothing has to be fetched."""
    url = f"http://127.0.0.1:{unused_port}"
    question = Egress((Way(url, (f"{tmp_path}/none", f"{tmp_path}/some thing/*.json")),))
    assert "Connection refused" in host.fact(question)[url]
    (tmp_path / "some thing").mkdir()
    (tmp_path / "some thing" / "x.json").touch()
    host.forget()
    assert host.fact(question) == {}


def test_all_ways_are_tried_and_a_port_is_enough_for_some(
    host: Host, server: str, unused_port: int
) -> None:
    """Only those that are closed are told; what is not asked for by HTTP hears none."""
    open_, closed = server.replace("http", "tcp"), f"tcp://127.0.0.1:{unused_port}"
    ways = tuple(Way(url) for url in (open_, closed, server, closed))
    assert {closed} == host.fact(Egress(ways)).keys()


def test_nobody_asks_a_registry_for_an_image_that_is_there(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    """Docker tells, to root if not to us."""
    (tmp_path / "bin").mkdir()
    docker = tmp_path / "bin" / "docker"
    docker.write_text('#!/bin/sh\n[ "$*" = "image inspect r:5000/here:1" ]\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
    closed = f"tcp://127.0.0.1:{unused_port}"
    assert {} == host.fact(Egress((Way(closed, image="r:5000/here:1"),)))
    assert {closed} == host.fact(Egress((Way(closed, image="r:5000/gone:1"),))).keys()


def test_an_environment_is_there_if_its_python_starts(host: Host, tmp_path: Path) -> None:
    """One whose Python is gone is none."""
    folder = tmp_path / "env"
    assert host.fact(PythonEnv(str(folder))) is None
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\nuv = 0.13\nversion_info = 3.11.2\n")
    (folder / FROZEN).write_text("a==1\n")
    again = Host(host.remote, host.workdir)
    assert Environment("3.11.2", ("a==1",)) == again.fact(PythonEnv(str(folder)))
    (folder / "bin" / "python").unlink()
    (folder / "bin" / "python").symlink_to("/no/python")
    assert Host(host.remote, host.workdir).fact(PythonEnv(str(folder))) is None


def test_our_uv_lies_below_the_working_folder(host: Host, tmp_path: Path) -> None:
    """A program, that is."""
    assert host.fact(Uv("uv/1/uv")) is False
    (tmp_path / "uv" / "1").mkdir(parents=True)
    (tmp_path / "uv" / "1" / "uv").touch(mode=0o755)
    assert Host(host.remote, host.workdir).fact(Uv("uv/1/uv")) is True
