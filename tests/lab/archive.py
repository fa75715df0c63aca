"""The lab's package archive: flat (``./``), and with a suite (``lab main``) that is signed."""

from __future__ import annotations

import gzip
import hashlib
import inspect
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path

from tests.lab import builds, deb, debs, gpu, network, processes, vendor_docker
from tests.lab.images import Say
from tests.lab.machine import FILES, HOME, alone

FOLDER = HOME / "archive"
SERVER, PORT = "archive", 5080
SUITE, COMPONENT = "lab", "main"
KEY_FILE = "key.asc"
_MAKERS = (deb, debs, vendor_docker, builds, sys.modules[__name__])


def _name() -> str:
    parts = [inspect.getsource(module).encode() for module in _MAKERS]
    for folder in (FILES, gpu.SMI, builds.GO_FOLDER):
        parts += [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]


def ensure(say: Say) -> Path:
    """The archive's folder, made when it is not there.

    Raises:
        LabError: something that goes into it cannot be built.
    """
    folder = FOLDER / _name()
    with ThreadPoolExecutor(2) as pool:
        toolkit, compose = pool.submit(builds.toolkit, say), pool.submit(builds.compose, say)
        parts = toolkit.result(), compose.result()
    with alone("build-archive"):
        if not folder.exists():
            say("packing the lab's package archive")
            _make(folder, *parts)
    return folder


def url() -> str:
    """Where hosts reach it (no slash at the end)."""
    return f"http://archive.lab:{PORT}/{_name()}"


def serve() -> None:
    """It is served on the lab's network, if it was made."""
    if not FOLDER.exists() or processes.running(SERVER):
        return
    argv = [sys.executable, "-m", "http.server", "-d", str(FOLDER), "-b", network.GATEWAY]
    processes.start(SERVER, [*argv, str(PORT)])
    network.wait_for(network.GATEWAY, PORT)


def _make(folder: Path, toolkit: Path, compose: Path) -> None:
    beside = folder.with_suffix(".new")
    shutil.rmtree(beside, ignore_errors=True)
    lists = beside / "dists" / SUITE / COMPONENT / "binary-amd64"
    lists.mkdir(parents=True)
    paths = [deb.write(one, beside) for one in debs.packages(toolkit, compose)]
    shutil.rmtree(vendor_docker.FOLDER)
    index = "\n".join(_entry(path) for path in paths).encode()
    for place in (beside, lists):
        (place / "Packages").write_bytes(index)
        (place / "Packages.gz").write_bytes(gzip.compress(index, mtime=0))
    (beside / "Release").write_text(_release(beside, "Packages*"))
    suite = beside / "dists" / SUITE
    (suite / "Release").write_text(_release(suite, f"{COMPONENT}/binary-amd64/Packages*"))
    _sign(beside, suite / "Release")
    beside.rename(folder)


def _entry(path: Path) -> str:
    argv = ["dpkg-deb", "-f", str(path)]
    control = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    data = path.read_bytes()
    return (
        f"{control}Filename: ./{path.name}\nSize: {len(data)}\n"
        f"SHA256: {hashlib.sha256(data).hexdigest()}\n"
    )


def _release(folder: Path, pattern: str) -> str:
    lines = [f"Origin: Lab\nLabel: Lab\nSuite: {SUITE}\nCodename: {SUITE}\nArchitectures: amd64"]
    lines += [f"Components: {COMPONENT}", f"Date: {formatdate(0, usegmt=True)}", "SHA256:"]
    for path in sorted(folder.glob(pattern)):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f" {digest} {path.stat().st_size} {path.relative_to(folder)}")
    return "\n".join(lines) + "\n"


def _sign(folder: Path, release: Path) -> None:
    """With a key of its own, made here and thrown away; nothing where there is no gpg."""
    if not shutil.which("gpg"):
        return
    home = folder / "gpg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--yes", "-q"]
    user = "The lab <lab@localhost>"
    new = [*gpg, "--passphrase", "", "--quick-gen-key", user, "ed25519", "sign", "never"]
    subprocess.run(new, check=True, capture_output=True)
    signed = str(release.with_name("InRelease"))
    sign = [*gpg, "--clearsign", "-o", signed, str(release)]
    subprocess.run(sign, check=True, capture_output=True)
    key = subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True).stdout
    (folder / KEY_FILE).write_bytes(key)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    shutil.rmtree(home, ignore_errors=True)
