"""The lab's container registry, and the small image in it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess

from tests.lab import images, network, processes
from tests.lab.engine import docker
from tests.lab.images import Say
from tests.lab.machine import HOME, LabError, alone

SERVER, PORT = "registry", 5000
NAME = f"registry.lab:{PORT}"
FOLDER = HOME / "registry"
#: Only to push through, while an image is put in.
_PUSHER, _PUSH_PORT = "registry-push", 5001
IMAGE, TAG = "lab/python", "1"
_PROGRAM = FOLDER / "program" / "usr" / "bin" / "docker-registry"
_CONFIG = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {storage}}}
  delete: {{enabled: true}}
http: {{addr: "{address}"}}
"""
#: Python and a shell out of the bare host's image, without package manager or documentation.
_TRIM = r"""
set -e
cd /
dpkg-query -W -f '${Package}\n' 'python3*' 'libpython3*' libc6 dash coreutils grep sed mawk \
  base-files base-passwd findutils procps hostname libssl3* libexpat1 zlib1g libbz2-1.0 liblzma5 \
  libsqlite3-0 libffi8 libncursesw6 libtinfo6 libreadline8* libuuid1 libselinux1 libpcre2-8-0 \
  libgmp10 libacl1 libattr1 libcrypt1 libgcc-s1 media-types libproc2-0 libsystemd0 liblz4-1 \
  libzstd1 libgcrypt20 libgpg-error0 libcap2 2>/dev/null | sort -u >/tmp/packages
{ xargs dpkg -L </tmp/packages 2>/dev/null |
    sed 's#^/\(lib\|lib64\|bin\|sbin\)/#/usr/\1/#' | grep -v -e '^/usr/share/\(doc\|man\|locale\)' |
    while read -r path; do if [ -f "$path" ] || [ -h "$path" ]; then echo "$path"; fi; done
  printf '%s\n' /bin /sbin /lib /lib64 /usr/bin/sh /etc/passwd /etc/group
} | sort -u | sed 's#^/##' | tar -c --no-recursion -T -
"""


def reference(say: Say) -> str:
    """``registry.lab:5000/lab/python@sha256:…``: the small image (python3, sh), put in if need be.

    Raises:
        LabError: it cannot be made.
    """
    start = images.base(say)
    kind = hashlib.sha256(f"{start}{_TRIM}".encode()).hexdigest()[:12]
    note = FOLDER / f"python-{kind}"
    with alone("build-registry"):
        if not note.exists():
            say("making the registry's image")
            local = f"{images.NAME}:python-{kind}"
            _trim(start, local)
            note.write_text(push(local, IMAGE, TAG))
    return f"{NAME}/{IMAGE}@{note.read_text()}"


def _trim(start: str, local: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    archive = FOLDER / "image.tar"
    argv = ["docker", "run", "--rm", "--network", "none", start, "sh", "-c", _TRIM]
    with archive.open("wb") as file:
        done = subprocess.run(argv, stdout=file, stderr=subprocess.PIPE, check=False, timeout=120)
    if done.returncode:
        raise LabError(f"the registry's image: {done.stderr.decode().strip()[-300:]}")
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    docker("import", "-c", f"ENV {path}", "-c", 'CMD ["python3"]', str(archive), local)
    archive.unlink()


def push(local: str, name: str, tag: str) -> str:
    """Put this machine's image *local* into the registry as *name*:*tag*; return its digest.

    Raises:
        LabError: it cannot be put there.
    """
    remote = f"127.0.0.1:{_PUSH_PORT}/{name}:{tag}"
    _serve(_PUSHER, "127.0.0.1", _PUSH_PORT)
    try:
        docker("tag", local, remote)
        said = docker("push", remote)
    finally:
        processes.stop(_PUSHER)
        docker("rmi", remote, check=False)
    digests = [word for word in said.split() if word.startswith("sha256:")]
    if not digests:
        raise LabError(f"docker push said no digest: {said[-200:]}")
    return digests[-1]


def serve() -> None:
    """It is served on the lab's network, if something was put in."""
    if list(FOLDER.glob("python-*")) and not processes.running(SERVER):
        _serve(SERVER, network.GATEWAY, PORT)


def _serve(server: str, address: str, port: int) -> None:
    _fetch()
    config = FOLDER / f"{server}.yml"
    place = f"{address}:{port}"
    config.write_text(_CONFIG.format(storage=FOLDER / "storage", address=place))
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    processes.start(server, [_PROGRAM, "serve", config], env=environment)
    network.wait_for(address, port)


def _fetch() -> None:
    """Debian's docker-registry, unpacked, not installed."""
    if _PROGRAM.exists():
        return
    folder = FOLDER / "deb"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    done = subprocess.run(
        ["apt-get", "-o", "APT::Sandbox::User=root", "download", "docker-registry"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LabError(f"docker-registry cannot be had: {done.stderr.strip()[-200:]}")
    unpack = ["dpkg-deb", "-x", str(next(folder.glob("*.deb"))), str(FOLDER / "program")]
    subprocess.run(unpack, check=True)
