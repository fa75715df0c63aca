"""Virtual environments on a host that has nothing but Debian's Python."""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from provisioning.deploys import python_env
from provisioning.errors import HostError, RemoteError
from provisioning.versions import UV
from tests.lab import network
from tests.lab.host import LabHost
from tests.lab.lab import Lab
from tests.lab_tests.deploying import deploy, logged_in, needs

pytestmark = [pytest.mark.integration, pytest.mark.lab]


class Index(SimpleHTTPRequestHandler):
    """Files, one of which is given only when the test says so."""

    asked = threading.Event()
    given = threading.Event()
    known: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        self.known.add(self.headers.get("Authorization", ""))
        if self.path.startswith("/slow/slow-"):
            self.asked.set()
            self.given.wait(60)
        super().do_GET()

    def log_message(self, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def index(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A package index for lab hosts: uv's wheel from the real one, and a package of our own."""
    root = tmp_path_factory.mktemp("index")
    (root / "uv").mkdir()
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*pip, "-d", str(root / "uv"), f"uv=={UV}"], check=True, timeout=240)
    (wheel,) = (root / "uv").iterdir()
    (root / "uv" / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    package(root / "hello", "1.0")
    package(root / "slow", "1.0")
    handler = partial(Index, directory=str(root))
    network.ensure()  # it goes with the last host of the tests before
    with ThreadingHTTPServer((network.GATEWAY, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://{network.GATEWAY}:{server.server_port}"
        server.shutdown()
        thread.join()


def package(folder: Path, version: str) -> None:
    """A wheel with a program, and its page."""
    folder.mkdir()
    name, about = f"{folder.name}-{version}-py3-none-any.whl", f"{folder.name}-{version}.dist-info"
    with zipfile.ZipFile(folder / name, "w") as wheel:
        wheel.writestr("hello.py", "def main():\n    print('hello')\n")
        metadata = f"Metadata-Version: 2.1\nName: {folder.name}\nVersion: {version}\n"
        wheel.writestr(f"{about}/METADATA", metadata)
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/entry_points.txt", "[console_scripts]\nhello = hello:main\n")
        wheel.writestr(f"{about}/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{name}">{name}</a>')


@pytest.fixture(scope="module")
def host(lab: Lab, index: str) -> Iterator[LabHost]:
    made = lab.host()
    yield made
    lab.remove(made)


def test_an_environment_is_made_once(host: LabHost, index: str) -> None:
    """From the recipe's index; its programs run under the name it has in the end."""
    asked = needs(host, python={"packages": ["hello==1.0"], "index_url": index})
    said: list[str] = []
    changes = deploy(host, asked, python_env, said=said)
    folder = python_env.path(asked)
    assert ["fetch", "make"] == [line.split()[0] for line in changes]
    assert f"fetching uv=={UV}" in said
    assert "hello\n" == host.ssh(f"{folder}/bin/hello").stdout
    assert [] == deploy(host, asked, python_env)
    with logged_in(host) as seen:
        about = python_env.about(seen, asked)
    assert (("hello==1.0",), "3.11.") == (about["packages"], about["python"][:5])


def test_an_attempt_that_broke_off_leaves_nothing_half(host: LabHost, index: str) -> None:
    """Killed in the middle: the next one begins anew and is whole."""
    asked = needs(host, python={"packages": ["hello==1.0"], "python": "3.11", "index_url": index})
    folder = python_env.path(asked)
    host.ssh(f"mkdir -p {folder}.new/bin && echo rest >{folder}.new/bin/python")
    (change,) = deploy(host, asked, python_env)
    assert (f"make the environment {folder} ", "hello\n") == (
        change[: len(folder) + 22],
        host.ssh(f"{folder}/bin/hello").stdout,
    )
    host.ssh(f"rm {folder}/bin/python3 {folder}/bin/python")
    assert 1 == len(deploy(host, asked, python_env))
    assert "hello\n" == host.ssh(f"{folder}/bin/hello").stdout


def test_work_goes_on_when_the_connection_is_cut(host: LabHost, index: str) -> None:
    """Who comes next waits for it, and does not begin anew."""
    asked = needs(host, python={"packages": ["slow==1.0"], "index_url": index})
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(deploy, host, asked, python_env)
        assert Index.asked.wait(60)
        host.cut()
        with pytest.raises(RemoteError):
            first.result()
        said = Said(on="waiting for the environment", then=Index.given.set)
        deploy(host, asked, python_env, said=said)
    assert said.heard
    assert [] == deploy(host, asked, python_env)


def test_the_password_of_an_index_is_seen_by_nobody(host: LabHost, index: str) -> None:
    """Pip and uv log in with it; no process has it in its arguments, no file of others holds it."""
    url = index.replace("//", "//me:pa55-word@")
    asked = needs(host, python={"packages": ["slow==1.0"], "python": "3.11", "index_url": url})
    folder = python_env.path(asked)
    host.docker_exec(f"rm -rf {folder.rpartition('/')[0]}/uv {host.workdir}/uv")
    Index.known.clear()
    Index.asked.clear()
    Index.given.clear()
    said: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(deploy, host, asked, python_env, said=said)
        assert Index.asked.wait(60)
        seen = host.docker_exec("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
        Index.given.set()
        changes = made.result()
    login = "Basic " + base64.b64encode(b"me:pa55-word").decode()
    assert (True, 2) == (login in Index.known, len(changes))
    assert (True, False) == ("uv pip install" in seen, "pa55" in seen)
    assert "pa55" not in "".join((*said, *changes))
    readable = f"grep -rl pa55 {host.workdir} --include='*' 2>/dev/null || :"
    assert "" == host.docker_exec(readable)


class Said(list[str]):
    """Lines of progress; something is done at one of them."""

    def __init__(self, on: str, then: Callable[[], None]) -> None:
        super().__init__()
        self._on = on
        self._then = then
        self.heard = False

    def append(self, line: str) -> None:
        super().append(line)
        if self._on in line:
            self.heard = True
            self._then()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"packages": ["hello==2.0"]}, r"packages of host\.python cannot be installed: Because"),
        ({"python": "3.99"}, r"has no Python 3\.99, and uv could not bring it"),
        ({"packages": ["absent==1"]}, r"packages of host\.python cannot be installed: Because"),
    ],
    ids=["no such version", "no such Python", "no such package"],
)
def test_what_cannot_be_is_said(
    host: LabHost, index: str, change: dict[str, object], says: str
) -> None:
    """One sentence; no environment is there then."""
    asked = needs(host, python={"packages": ["hello==1.0"], "index_url": index} | change)
    with pytest.raises(HostError, match=says) as caught:
        deploy(host, asked, python_env)
    assert caught.value.advice
    assert "no" == host.docker_exec(f"[ -e {python_env.path(asked)} ] || echo no")


def test_a_host_that_reaches_no_index_is_told(host: LabHost) -> None:
    """By what uv says."""
    nowhere = f"http://{network.GATEWAY}:9"
    asked = needs(host, python={"packages": ["other==1.0"], "index_url": nowhere})
    with pytest.raises(HostError, match=f"cannot fetch packages from {nowhere}/other/"):
        deploy(host, asked, python_env)
